# Peer reference: reference/in_torch/cache.py
"""The key-value cache of a decoder, so that each token is computed only once.

The self-attention buffer has a fixed size in all calls; positions that are not yet written are hidden by the causal
mask. Cross-attention keys and values are computed once and do not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


class KeysValues(NamedTuple):
    """Keys and values of one attention, split into heads (BART page, ``past_key_values``)."""

    key: Float[Array, "batch heads length head_dim"]
    value: Float[Array, "batch heads length head_dim"]

    def written(self, new: KeysValues, position_offset: int | Int[Array, ""]) -> KeysValues:
        """A copy of the buffer with ``new`` written from position ``position_offset`` on."""
        positions = position_offset + jnp.arange(new.key.shape[2])
        return KeysValues(self.key.at[:, :, positions].set(new.key), self.value.at[:, :, positions].set(new.value))

    def rows(self, index: Int[Array, " rows"]) -> KeysValues:
        """Selects rows of the batch: row i of the result is row ``index[i]``."""
        return KeysValues(self.key[index], self.value[index])

    def cut(self, length: int) -> KeysValues:
        """The first ``length`` positions."""
        return KeysValues(self.key[:, :, :length], self.value[:, :, :length])


class LayerCache(NamedTuple):
    """The cache of one decoder layer: self-attention (None in a pass without a cache) and cross-attention (None without
    an encoder)."""

    own: KeysValues | None
    cross: KeysValues | None

    @property
    def room(self) -> KeysValues:
        """The self-attention buffer.

        Raises:
            ValueError: the pass has no cache.
        """
        if self.own is None:
            raise ValueError("this pass has no cache of self-attention")
        return self.own

    def rows(self, index: Int[Array, " rows"]) -> LayerCache:
        """Selects rows of both caches: row i of the result is row ``index[i]``."""
        return LayerCache(*(None if known is None else known.rows(index) for known in self))


@dataclass(frozen=True)
class Cache:
    """Keys and values of all layers, and the number of positions written."""

    layers: tuple[LayerCache, ...]
    length: int

    @property
    def capacity(self) -> int:
        """The number of positions in the buffer."""
        return self.layers[0].room.key.shape[2]

    def reordered(self, index: Int[Array, " rows"]) -> Cache:
        """Reorders the batch: row i continues row ``index[i]``; cross-attention caches are reordered too."""
        return Cache(tuple(layer.rows(index) for layer in self.layers), self.length)

    def past_key_values(self) -> tuple[tuple[Array, ...], ...]:
        """The documented form: per layer, key and value of self-attention, then of cross-attention if there is one.

        Each is ``[batch, heads, length, head_dim]``; the length is the number of positions written, or the source's.
        """
        return tuple((*layer.room.cut(self.length), *(layer.cross or ())) for layer in self.layers)
