"""The config of wav2vec 2.0 and HuBERT: convolutions over raw audio, then a stack of encoder layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from reference.config.fields import (
    CONFIG_FILE,
    LARGEST_SIZE,
    check_activation,
    check_heads,
    check_labels,
    check_model_type,
    check_rates,
    check_sizes,
    check_switches,
    object_of,
)
from reference.config.shape import StackShape
from reference.errors import CheckpointError, brief
from reference.files import read_json

_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "num_adapter_layers",
    "adapter_kernel_size",
    "adapter_stride",
)
_SWITCHES = ("conv_bias", "do_stable_layer_norm", "feat_proj_layer_norm", "conv_pos_batch_norm", "add_adapter")


@dataclass(frozen=True)
class SpeechConfig:
    """wav2vec 2.0 (Baevski et al. 2020, section 2) or HuBERT (Hsu et al. 2021, section II), fields as documented.

    ``conv_dim``, ``conv_kernel`` and ``conv_stride`` list channels, kernel size and stride of each layer.
    ``output_hidden_size`` is the output width of the adapter, by default that of the encoder.
    """

    model_type: str
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: int | float = 1e-5
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    feat_proj_layer_norm: bool = True
    conv_pos_batch_norm: bool = False
    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> SpeechConfig:
        """A config from the content of a ``config.json``; absent keys have the documented defaults.

        Raises:
            CheckpointError: another ``model_type``, a value of the wrong type, convolution lists of different lengths,
                heads or groups that do not divide the width, or adapters inside the layers, which are not supported.
        """
        location = CONFIG_FILE if path is None else path
        data = object_of(data, location)
        model_type = check_model_type(data, ("wav2vec2", "hubert"), location)
        names = [f for f in fields(cls) if f.name not in ("model_type", "others")]
        values = {f.name: data.get(f.name, f.default) for f in names}
        if values["output_hidden_size"] is not None:
            check_sizes(values, ("output_hidden_size",), location)
        check_sizes(values, _SIZES, location)
        check_switches(values, _SWITCHES, location)
        check_rates(values, ("layer_norm_eps",), location)
        for name in ("hidden_act", "feat_extract_activation"):
            check_activation(values, name, location)
        check_labels(data, location)
        check_heads(values, "num_attention_heads", "hidden_size", location)
        check_heads(values, "num_conv_pos_embedding_groups", "hidden_size", location)
        for name in ("conv_dim", "conv_kernel", "conv_stride"):
            values[name] = _sizes_of(values[name], name, location)
        _check_kinds(values, data, model_type, location)
        return cls(model_type, **values, others={key: value for key, value in data.items() if key not in values})

    @classmethod
    def read(cls, directory: Path | str) -> SpeechConfig:
        """Reads ``directory/config.json``; raises as ``from_dict``, or if the file is missing."""
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)

    @property
    def d_model(self) -> int:
        """The width of the output, after the adapter if there is one."""
        return (self.output_hidden_size or self.hidden_size) if self.add_adapter else self.hidden_size

    @property
    def receptive_field(self) -> int:
        """The number of samples from which one frame is computed; shorter audio has no frames."""
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    def stack(self) -> StackShape:
        """The shape of the layers after the convolutions."""
        sizes = (self.num_hidden_layers, self.hidden_size, self.num_attention_heads, self.intermediate_size)
        epsilon = float(self.layer_norm_eps)
        return StackShape(*sizes, self.hidden_act, epsilon, pre_norm=self.do_stable_layer_norm)


def _sizes_of(value: Any, name: str, location: Path | str) -> tuple[int, ...]:
    whole = isinstance(value, list | tuple) and all(type(size) is int and 0 < size <= LARGEST_SIZE for size in value)
    if not whole or not value:
        raise CheckpointError(location, f"{name} is {brief(value)}, not a list of positive integers")
    return tuple(value)


def _check_kinds(values: Mapping[str, Any], data: Mapping[str, Any], model_type: str, location: Path | str) -> None:
    if values["feat_extract_norm"] not in ("group", "layer"):
        raise CheckpointError(
            location, f"feat_extract_norm is {brief(values['feat_extract_norm'])}, not 'group' or 'layer'"
        )
    lengths = {name: len(values[name]) for name in ("conv_dim", "conv_kernel", "conv_stride")}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise CheckpointError(location, f"one entry for each convolution is needed, but {said}")
    if data.get("adapter_attn_dim") is not None:
        raise CheckpointError(location, "adapter_attn_dim is set; adapters inside the layers cannot be built")
    hubert_only = [name for name in ("conv_pos_batch_norm",) if values[name] and model_type != "hubert"]
    wav2vec2_only = ["add_adapter"] if values["add_adapter"] and model_type == "hubert" else []
    for name in (*hubert_only, *wav2vec2_only):
        raise CheckpointError(location, f"{name} is set, but {model_type} does not support it")
