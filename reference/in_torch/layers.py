# Twin: reference/in_flax/layers.py
"""One layer of each stack. Normalisation follows each residual sum (post-norm, Vaswani et al. 2017, section 5.4)."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference.in_torch.activations import ACTIVATIONS
from reference.in_torch.attention import Attention
from reference.in_torch.cache import LayerCache
from reference.in_torch.normalisation import LayerNorm


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, d_model: int, heads: int, ffn: int, activation: str, attention: str) -> None:
        super().__init__()
        self.self_attn = Attention(d_model, heads, attention)
        self.self_attn_layer_norm = LayerNorm(d_model)
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nn.Linear(d_model, ffn)
        self.fc2 = nn.Linear(ffn, d_model)
        self.final_layer_norm = LayerNorm(d_model)

    def forward(
        self,
        hidden: Float[Tensor, "batch src d_model"],
        keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[Float[Tensor, "batch src d_model"], Float[Tensor, "batch heads src src"] | None]:
        """The layer's states, and its attention weights where the variant has them."""
        found, weights = self.self_attn(hidden, self.self_attn.keys_values(hidden), keep, head_mask)
        hidden = self.self_attn_layer_norm(hidden + found)
        hidden = self.final_layer_norm(hidden + self.fc2(self.activation(self.fc1(hidden))))
        return hidden, weights


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the encoder's last states, then a feed-forward network."""

    def __init__(self, d_model: int, heads: int, ffn: int, activation: str, attention: str) -> None:
        super().__init__()
        self.self_attn = Attention(d_model, heads, attention)
        self.self_attn_layer_norm = LayerNorm(d_model)
        self.encoder_attn = Attention(d_model, heads, attention)
        self.encoder_attn_layer_norm = LayerNorm(d_model)
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nn.Linear(d_model, ffn)
        self.fc2 = nn.Linear(ffn, d_model)
        self.final_layer_norm = LayerNorm(d_model)

    def forward(
        self,
        hidden: Float[Tensor, "batch tgt d_model"],
        past: LayerCache,
        start: int,
        keep: Bool[Tensor, "batch 1 tgt keys"],
        memory_keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, " heads"] | None,
        cross_head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[
        Float[Tensor, "batch tgt d_model"],
        LayerCache,
        Float[Tensor, "batch heads tgt keys"] | None,
        Float[Tensor, "batch heads tgt src"] | None,
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
