# Peer reference: reference/in_flax/cache.py
"""What a decoder keeps between calls, so that every token is fed once.

The room for self-attention's keys and values has one size from the first call to the last; positions not yet written
are hidden by the causal mask. Those of the encoder's states are computed once and never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class KeysValues(NamedTuple):
    """One attention's keys and values, heads apart (BART page, ``past_key_values``)."""

    key: Float[Tensor, "batch heads length head_dim"]
    value: Float[Tensor, "batch heads length head_dim"]

    def written(self, new: KeysValues, position_offset: int) -> KeysValues:
        """The same room with ``new`` at the positions from ``position_offset`` on."""
        positions = torch.arange(position_offset, position_offset + new.key.shape[2], device=self.key.device)
        return KeysValues(self.key.index_copy(2, positions, new.key), self.value.index_copy(2, positions, new.value))

    def rows(self, index: Int[Tensor, " rows"]) -> KeysValues:
        """Row ``index[i]`` of the batch as row i."""
        return KeysValues(self.key[index], self.value[index])

    def cut(self, length: int) -> KeysValues:
        """The first ``length`` positions."""
        return KeysValues(self.key[:, :, :length], self.value[:, :, :length])


class LayerCache(NamedTuple):
    """One decoder layer's: of its own positions (None in a pass that keeps nothing) and of the encoder's (None where
    there is no encoder)."""

    own: KeysValues | None
    cross: KeysValues | None

    @property
    def room(self) -> KeysValues:
        """Of its own positions, between calls.

        Raises:
            ValueError: it is of a pass that keeps nothing.
        """
        if self.own is None:
            raise ValueError("nothing is kept of this layer's own positions")
        return self.own

    def rows(self, index: Int[Tensor, " rows"]) -> LayerCache:
        """Row ``index[i]`` of the batch as row i, of both."""
        return LayerCache(*(None if known is None else known.rows(index) for known in self))


@dataclass(frozen=True)
class Cache:
    """All layers' keys and values, and how many positions of the room are written."""

    layers: tuple[LayerCache, ...]
    length: int

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.layers[0].room.key.shape[2]

    def reordered(self, index: Int[Tensor, " rows"]) -> Cache:
        """Row i continues what row ``index[i]`` was; the encoder's part goes with it."""
        return Cache(tuple(layer.rows(index) for layer in self.layers), self.length)

    def past_key_values(self) -> tuple[tuple[Tensor, ...], ...]:
        """The documented form: for each layer self-attention's key and value, then cross-attention's if there is one.

        Each is ``[batch, heads, length, head_dim]``, of the positions written or of the source.
        """
        return tuple((*layer.room.cut(self.length), *(layer.cross or ())) for layer in self.layers)
