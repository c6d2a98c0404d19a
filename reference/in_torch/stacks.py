# Peer reference: reference/in_flax/stacks.py
"""The sequence of layers of an encoder or a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference.config import StackShape
from reference.in_torch.cache import LayerCache
from reference.in_torch.layers import DecoderLayer, EncoderLayer
from reference.in_torch.normalisation import LayerNorm
from reference.in_torch.outputs import EncoderOutput


def by_layer(head_mask: Float[Tensor, "layers heads"] | None, layers: int) -> list[Tensor | None]:
    """The rows of a head mask, or None for each layer.

    Raises:
        ValueError: the mask has a different number of layers.
    """
    if head_mask is None:
        return [None] * layers
    if len(head_mask) != layers:
        raise ValueError(f"a head mask for {len(head_mask)} layers, but there are {layers}")
    return list(head_mask)


def collected(attentions: list[Tensor | None]) -> tuple[Tensor, ...] | None:
    """The attention weights of every layer, or None for ``sdpa``."""
    known = tuple(weights for weights in attentions if weights is not None)
    return known if len(known) == len(attentions) else None


class EncoderStack(nn.Module):
    """Layers with bidirectional attention, followed by a normalisation if they are pre-norm."""

    def __init__(self, shape: StackShape, attention: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(shape, attention) for _ in range(shape.layers))
        self.layer_norm = LayerNorm(shape.d_model, shape.epsilon) if shape.pre_norm else None

    def run(
        self,
        hidden: Float[Tensor, "batch src d_model"],
        keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, "layers heads"] | None,
    ) -> EncoderOutput:
        """States and attentions of every layer, from the embedded tokens."""
        states, attentions = [hidden], []
        for layer, layer_head_mask in zip(self.layers, by_layer(head_mask, len(self.layers)), strict=True):
            hidden, weights = layer(hidden, keep, layer_head_mask)
            states.append(hidden)
            attentions.append(weights)
        if self.layer_norm is not None:
            states[-1] = self.layer_norm(hidden)
        return EncoderOutput(states[-1], tuple(states), collected(attentions))


class DecoderStack(nn.Module):
    """Layers with causal attention, followed by a normalisation if they are pre-norm."""

    def __init__(self, shape: StackShape, attention: str) -> None:
        super().__init__()
        self.shape = shape
        # The element type of a ModuleList is Module.
        self.layers = cast(
            "Sequence[DecoderLayer]", nn.ModuleList(DecoderLayer(shape, attention) for _ in range(shape.layers))
        )
        self.layer_norm = LayerNorm(shape.d_model, shape.epsilon) if shape.pre_norm else None

    def nothing_past(self, memory: Float[Tensor, "batch src d_model"] | None) -> tuple[LayerCache, ...]:
        """The cache of every layer with cross-attention keys and values only (None without an encoder)."""
        if memory is None:
            return (LayerCache(None, None),) * len(self.layers)
        return tuple(LayerCache(None, layer.encoder_attn.keys_values(memory)) for layer in self.layers)

    def run(
        self,
        hidden: Float[Tensor, "batch tgt d_model"],
        past: tuple[LayerCache, ...],
        position_offset: int,
        keep: Bool[Tensor, "batch 1 tgt keys"],
        memory_keep: Bool[Tensor, "batch 1 1 src"] | None,
        head_mask: Float[Tensor, "layers heads"] | None,
        cross_head_mask: Float[Tensor, "layers heads"] | None,
    ) -> tuple[tuple[LayerCache, ...], tuple[Tensor, ...], tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        """The caches, states, self-attentions and cross-attentions, with shapes as in ``DecoderOutput``."""
        caches, states, attentions, cross_attentions = [], [hidden], [], []
        head_masks = by_layer(head_mask, len(self.layers))
        cross_head_masks = by_layer(cross_head_mask, len(self.layers))
        for layer, before, own, cross in zip(self.layers, past, head_masks, cross_head_masks, strict=True):
            hidden, after, weights, cross_weights = layer(
                hidden, before, position_offset, keep, memory_keep, own, cross
            )
            caches.append(after)
            states.append(hidden)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
        if self.layer_norm is not None:
            states[-1] = self.layer_norm(hidden)
        return tuple(caches), tuple(states), collected(attentions), collected(cross_attentions)
