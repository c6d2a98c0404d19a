# Peer reference: reference/in_flax/speech.py
"""wav2vec 2.0 and HuBERT as encoders (Baevski et al. 2020, arXiv:2006.11477, section 2; Hsu et al. 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reference.config import SpeechConfig
from reference.in_torch.activations import ACTIVATIONS
from reference.in_torch.convolution import Convolution, StoredNorm, TimeNorm, convolve, frames_left
from reference.in_torch.encoder import Encoder
from reference.in_torch.normalisation import EPSILON, LayerNorm
from reference.in_torch.outputs import EncoderOutput
from reference.in_torch.precision import matmul_precision
from reference.in_torch.stacks import EncoderStack


class FeatureLayer(nn.Module):
    """A convolution, an optional normalisation, and an activation."""

    def __init__(self, config: SpeechConfig, index: int) -> None:
        super().__init__()
        given, made = (1, *config.conv_dim)[index], config.conv_dim[index]
        kernel, stride = config.conv_kernel[index], config.conv_stride[index]
        self.conv = Convolution(given, made, kernel, stride, 0, config.conv_bias)
        if config.feat_extract_norm == "layer":
            self.norm = LayerNorm(made, EPSILON)
        else:
            self.norm = TimeNorm(made) if index == 0 else None
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def forward(self, frames: Float[Tensor, "batch time given"]) -> Float[Tensor, "batch _ made"]:
        """Reduces the number of frames and changes the number of channels."""
        frames = self.conv(frames)
        return self.activation(frames if self.norm is None else self.norm(frames))


class FeatureProjection(nn.Module):
    """Projects the channels of the last convolution to the width of the layers."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        channels, epsilon = config.conv_dim[-1], float(config.layer_norm_eps)
        self.norm = LayerNorm(channels, epsilon) if config.feat_proj_layer_norm else None
        self.linear = nn.Linear(channels, config.hidden_size)

    def forward(self, frames: Float[Tensor, "batch src channels"]) -> Float[Tensor, "batch src d_model"]:
        """Normalises first if the config says so, then projects."""
        return self.linear(frames if self.norm is None else self.norm(frames))


class ConvolutionalPositions(nn.Module):
    """Relative position embeddings from a grouped convolution over many frames (Baevski et al. 2020, section 2).

    The weight is stored as a direction and a norm for each tap of the kernel (weight normalisation, Salimans and Kingma
    2016, equation 2); HuBERT with ``conv_pos_batch_norm`` stores the weight itself and normalises the input.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.num_conv_pos_embeddings
        shape = (width, width // config.num_conv_pos_embedding_groups, kernel)
        self.norm = StoredNorm(width) if config.conv_pos_batch_norm else None
        if self.norm is None:
            self.length = nn.Parameter(torch.ones(1, 1, kernel))
            self.direction = nn.Parameter(torch.randn(shape))
        else:
            self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(width))
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def forward(self, hidden: Float[Tensor, "batch src d_model"]) -> Float[Tensor, "batch src d_model"]:
        """One vector per frame; the additional last frame of an even kernel is removed."""
        if self.norm is None:
            direction = self.direction
            weight = self.length * direction / direction.square().sum((0, 1), keepdim=True).sqrt()
        else:
            hidden, weight = self.norm(hidden), self.weight
        found = convolve(hidden, weight, self.bias, 1, weight.shape[2] // 2)
        return self.activation(found[:, : hidden.shape[1]])


class Adapter(nn.Module):
    """Shortens the sequence further by gated convolutions (Dauphin et al. 2017, equation 1)."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        width, kernel, stride = config.d_model, config.adapter_kernel_size, config.adapter_stride
        narrower = width != config.hidden_size
        self.linear = nn.Linear(config.hidden_size, width) if narrower else None
        self.norm = LayerNorm(width, EPSILON) if narrower else None
        layers = range(config.num_adapter_layers)
        self.layers = nn.ModuleList(Convolution(width, 2 * width, kernel, stride, 1, True) for _ in layers)

    def forward(self, hidden: Float[Tensor, "batch src _"]) -> Float[Tensor, "batch _ d_model"]:
        """Reduces the number of states and projects them to the output width."""
        if self.linear is not None and self.norm is not None:
            hidden = self.norm(self.linear(hidden))
        for layer in self.layers:
            value, gate = layer(hidden).chunk(2, dim=2)
            hidden = value * gate.sigmoid()
        return hidden


class SpeechEncoder(Encoder[SpeechConfig]):
    """Raw audio to states: convolutions, projection, convolutional position embedding, layers, optional adapter."""

    main_input = "input_values"

    def __init__(self, config: SpeechConfig, attention: str = "eager", precision: str = "highest") -> None:
        super().__init__()
        self.config = config
        self.precision = precision
        self.features = nn.ModuleList(FeatureLayer(config, index) for index in range(len(config.conv_dim)))
        self.projection = FeatureProjection(config)
        self.positions = ConvolutionalPositions(config)
        # With pre-norm layers, the normalisation is after the layers, in the stack.
        epsilon = float(config.layer_norm_eps)
        self.layer_norm = None if config.do_stable_layer_norm else LayerNorm(config.hidden_size, epsilon)
        self.stack = EncoderStack(config.stack(), attention)
        self.adapter = Adapter(config) if config.add_adapter else None

    def like(self) -> Tensor:
        """Any parameter of the model, for its dtype and device."""
        return self.projection.linear.weight

    def encode(
        self,
        input_values: Float[Tensor, "batch samples"],
        attention_mask: Int[Tensor, "batch samples"] | None = None,
        head_mask: Float[Tensor, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; ``last_hidden_state`` is the output of the adapter if there is one.

        Args:
            input_values: audio samples at the rate that the checkpoint was trained with, usually 16 kHz.
            attention_mask: 1 for samples, 0 for padding. Without it the whole input is attended to.

        Raises:
            ValueError: a row is shorter than the receptive field of the convolutions.
        """
        if input_values.shape[1] < self.config.receptive_field:
            cause = f"the convolutions see {self.config.receptive_field} at once"
            raise ValueError(f"audio of {input_values.shape[1]} samples, but {cause}")
        with matmul_precision(self.precision):
            frames = input_values[:, :, None]
            for layer in self.features:
                frames = layer(frames)
            hidden = self.projection(frames)
            keep = self.valid_frames(attention_mask, hidden)
            hidden = torch.where(keep[:, :, None], hidden, 0.0)
            hidden = hidden + self.positions(hidden)
            if self.layer_norm is not None:
                hidden = self.layer_norm(hidden)
            encoded = self.stack.run(hidden, keep[:, None, None, :], head_mask)
            last = encoded.last_hidden_state if self.adapter is None else self.adapter(encoded.last_hidden_state)
        return EncoderOutput(last, encoded.hidden_states, encoded.attentions)

    def valid_frames(
        self, attention_mask: Int[Tensor, "batch samples"] | None, hidden: Float[Tensor, "batch src d_model"]
    ) -> Bool[Tensor, "batch src"]:
        """The mask of non-padding frames: as many as the row's samples give without padding."""
        frames = torch.arange(hidden.shape[1], device=hidden.device)
        if attention_mask is None:
            return torch.ones_like(hidden[:, :, 0], dtype=torch.bool)
        left = frames_left(attention_mask.sum(1), self.config.conv_kernel, self.config.conv_stride)
        return frames[None, :] < left[:, None]

    def source_mask(
        self,
        attention_mask: Int[Tensor, "batch samples"] | None,
        encoder_last_hidden_state: Float[Tensor, "batch src _"],
    ) -> Int[Tensor, "batch src"]:
        """The mask of non-padding states, after the adapter if there is one."""
        kernels, strides = self.config.conv_kernel, self.config.conv_stride
        if self.adapter is not None:
            # A kernel of 3 with padding 1 gives the same length as a kernel of 1 without padding.
            kernels += (1,) * self.config.num_adapter_layers
            strides += (self.config.adapter_stride,) * self.config.num_adapter_layers
        states = torch.arange(encoder_last_hidden_state.shape[1], device=encoder_last_hidden_state.device)
        if attention_mask is None:
            return torch.ones_like(encoder_last_hidden_state[:, :, 0], dtype=torch.int64)
        left = frames_left(attention_mask.sum(1), kernels, strides)
        return (states[None, :] < left[:, None]).to(torch.int64)
