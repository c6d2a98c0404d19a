# Peer reference: reference/in_flax/layers.py
"""The encoder layer and the decoder layer.

Normalisation follows each residual sum (post-norm, Vaswani et al. 2017, section 5.4), or precedes each sublayer
(pre-norm, as in GPT-2 and mBART): ``StackShape.pre_norm``.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference.config import StackShape
from reference.in_torch.activations import ACTIVATIONS
from reference.in_torch.attention import Attention
from reference.in_torch.cache import LayerCache
from reference.in_torch.normalisation import LayerNorm

Norm = Callable[[Tensor], Tensor]
"""A normalisation over the last axis."""


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, shape: StackShape, attention: str) -> None:
        super().__init__()
        self.pre_norm = shape.pre_norm
        self.self_attn = Attention(shape.d_model, shape.heads, attention)
        self.self_attn_layer_norm = LayerNorm(shape.d_model, shape.epsilon)
        self.activation = ACTIVATIONS[shape.activation]
        self.fc1 = nn.Linear(shape.d_model, shape.ffn)
        self.fc2 = nn.Linear(shape.ffn, shape.d_model)
        self.final_layer_norm = LayerNorm(shape.d_model, shape.epsilon)

    def before(self, norm: Norm, hidden: Float[Tensor, "batch src d_model"]) -> Float[Tensor, "batch src d_model"]:
        """The input of a sublayer: normalised in a pre-norm layer."""
        return norm(hidden) if self.pre_norm else hidden

    def after(self, norm: Norm, hidden: Float[Tensor, "batch src d_model"]) -> Float[Tensor, "batch src d_model"]:
        """The result of a residual sum: normalised in a post-norm layer."""
        return hidden if self.pre_norm else norm(hidden)

    def feed_forward(self, hidden: Float[Tensor, "batch src d_model"]) -> Float[Tensor, "batch src d_model"]:
        """The position-wise feed-forward network (linear, activation, linear) with its residual connection."""
        given = self.before(self.final_layer_norm, hidden)
        return self.after(self.final_layer_norm, hidden + self.fc2(self.activation(self.fc1(given))))

    def forward(
        self,
        hidden: Float[Tensor, "batch src d_model"],
        keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[Float[Tensor, "batch src d_model"], Float[Tensor, "batch heads src src"] | None]:
        """The layer's states, and its attention weights (None for ``sdpa``)."""
        given = self.before(self.self_attn_layer_norm, hidden)
        found, weights = self.self_attn(given, self.self_attn.keys_values(given), keep, head_mask)
        hidden = self.after(self.self_attn_layer_norm, hidden + found)
        return self.feed_forward(hidden), weights


class DecoderLayer(EncoderLayer):
    """Causal self-attention, cross-attention if there is an encoder, then a feed-forward network."""

    def __init__(self, shape: StackShape, attention: str) -> None:
        super().__init__(shape, attention)
        if shape.cross:
            self.encoder_attn = Attention(shape.d_model, shape.heads, attention)
            self.encoder_attn_layer_norm = LayerNorm(shape.d_model, shape.epsilon)

    # Inherits the encoder layer's sublayers, but has a different signature.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hidden: Float[Tensor, "batch tgt d_model"],
        past: LayerCache,
        position_offset: int,
        keep: Bool[Tensor, "batch 1 tgt keys"],
        memory_keep: Bool[Tensor, "batch 1 1 src"] | None,
        head_mask: Float[Tensor, " heads"] | None,
        cross_head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[
        Float[Tensor, "batch tgt d_model"],
        LayerCache,
        Float[Tensor, "batch heads tgt keys"] | None,
        Float[Tensor, "batch heads tgt src"] | None,
    ]:
        """The layer's states, its updated cache, its self-attention and its cross-attention weights.

        Args:
            past: the cache from earlier calls; ``own`` is None if the whole sequence is passed at once.
            position_offset: the position of the first token passed.
        """
        given = self.before(self.self_attn_layer_norm, hidden)
        own = self.self_attn.keys_values(given)
        if past.own is not None:
            own = past.own.written(own, position_offset)
        found, weights = self.self_attn(given, own, keep, head_mask)
        hidden = self.after(self.self_attn_layer_norm, hidden + found)
        cross_weights = None
        if past.cross is not None and memory_keep is not None:
            given = self.before(self.encoder_attn_layer_norm, hidden)
            found, cross_weights = self.encoder_attn(given, past.cross, memory_keep, cross_head_mask)
            hidden = self.after(self.encoder_attn_layer_norm, hidden + found)
        return self.feed_forward(hidden), LayerCache(own, past.cross), weights, cross_weights
