# Twin: reference/in_torch/layers.py
"""One layer of each stack. Normalisation follows each residual sum (post-norm, Vaswani et al. 2017, section 5.4)."""

from __future__ import annotations

from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int

from reference.in_flax.activations import ACTIVATIONS
from reference.in_flax.attention import Attention
from reference.in_flax.cache import LayerCache
from reference.in_flax.normalisation import LayerNorm


class EncoderLayer(nnx.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, d_model: int, heads: int, ffn: int, activation: str, attention: str, rngs: nnx.Rngs) -> None:
        self.self_attn = Attention(d_model, heads, attention, rngs)
        self.self_attn_layer_norm = LayerNorm(d_model, rngs)
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nnx.Linear(d_model, ffn, rngs=rngs)
        self.fc2 = nnx.Linear(ffn, d_model, rngs=rngs)
        self.final_layer_norm = LayerNorm(d_model, rngs)

    def __call__(
        self,
        hidden: Float[Array, "batch src d_model"],
        keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, " heads"] | None,
    ) -> tuple[Float[Array, "batch src d_model"], Float[Array, "batch heads src src"] | None]:
        """The layer's states, and its attention weights where the variant has them."""
        found, weights = self.self_attn(hidden, self.self_attn.keys_values(hidden), keep, head_mask)
        hidden = self.self_attn_layer_norm(hidden + found)
        hidden = self.final_layer_norm(hidden + self.fc2(self.activation(self.fc1(hidden))))
        return hidden, weights


class DecoderLayer(nnx.Module):
    """Causal self-attention, attention to the encoder's last states, then a feed-forward network."""

    def __init__(self, d_model: int, heads: int, ffn: int, activation: str, attention: str, rngs: nnx.Rngs) -> None:
        self.self_attn = Attention(d_model, heads, attention, rngs)
        self.self_attn_layer_norm = LayerNorm(d_model, rngs)
        self.encoder_attn = Attention(d_model, heads, attention, rngs)
        self.encoder_attn_layer_norm = LayerNorm(d_model, rngs)
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nnx.Linear(d_model, ffn, rngs=rngs)
        self.fc2 = nnx.Linear(ffn, d_model, rngs=rngs)
        self.final_layer_norm = LayerNorm(d_model, rngs)

    def __call__(
        self,
        hidden: Float[Array, "batch tgt d_model"],
        past: LayerCache,
        start: int | Int[Array, ""],
        keep: Bool[Array, "batch 1 tgt keys"],
        memory_keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, " heads"] | None,
        cross_head_mask: Float[Array, " heads"] | None,
    ) -> tuple[
        Float[Array, "batch tgt d_model"],
        LayerCache,
        Float[Array, "batch heads tgt keys"] | None,
        Float[Array, "batch heads tgt src"] | None,
    ]:
        """The layer's states, what it keeps for the next call, its self-attention and its cross-attention weights.

        Args:
            past: what earlier calls kept, with ``own`` None in a pass that has the whole sequence.
            start: position of the first of these tokens.
        """
        own = self.self_attn.keys_values(hidden)
        if past.own is not None:
            own = past.own.written(own, start)
        found, weights = self.self_attn(hidden, own, keep, head_mask)
        hidden = self.self_attn_layer_norm(hidden + found)
        found, cross_weights = self.encoder_attn(hidden, past.cross, memory_keep, cross_head_mask)
        hidden = self.encoder_attn_layer_norm(hidden + found)
        hidden = self.final_layer_norm(hidden + self.fc2(self.activation(self.fc1(hidden))))
        return hidden, LayerCache(own, past.cross), weights, cross_weights
