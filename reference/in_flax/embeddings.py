# Peer reference: reference/in_torch/embeddings.py
"""Token embedding, its use as a tied head, and learned position embeddings."""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

POSITION_OFFSET = 2
"""Unused rows at the start of BART's position tables: fairseq numbered positions from ``padding_idx + 1``."""


class TokenEmbedding(nnx.Module):
    """The token embedding that encoder, decoder and a tied head share.

    It has no ``padding_idx``, which would set the gradient of the padding row to zero.
    """

    def __init__(self, vocab: int, d_model: int, scaled: bool, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Param(nnx.initializers.normal()(rngs.params(), (vocab, d_model)))
        # config.scale_embedding: Vaswani et al. 2017, section 3.4.
        self.scale = math.sqrt(d_model) if scaled else 1.0

    def __call__(self, ids: Int[Array, "batch length"]) -> Float[Array, "batch length d_model"]:
        """Looks up the embedding of each token, scaled if the config sets ``scale_embedding``."""
        # An index outside the table raises an error in PyTorch; compiled code cannot raise, so the result is NaN.
        return self.embedding[...].at[ids].get(mode="fill", fill_value=jnp.nan) * self.scale

    def scores(self, hidden: Float[Array, "batch length d_model"]) -> Float[Array, "batch length vocab"]:
        """The tied head: the product of each state with each row of the table, not scaled."""
        return hidden @ self.embedding[...].T


class LearnedPositions(nnx.Module):
    """One learned vector per position (BART page, ``max_position_embeddings``).

    Args:
        offset: rows before position 0.
    """

    def __init__(self, positions: int, d_model: int, rngs: nnx.Rngs, offset: int = POSITION_OFFSET) -> None:
        self.embedding = nnx.Param(nnx.initializers.normal()(rngs.params(), (positions + offset, d_model)))
        self.positions = positions
        self.offset = offset

    def __call__(self, length: int, position_offset: int | Int[Array, ""] = 0) -> Float[Array, "{length} d_model"]:
        """The embeddings of ``length`` positions starting at ``position_offset``.

        Raises:
            ValueError: the table has fewer positions.
        """
        self.check(length)
        # Compiled code cannot raise for a traced ``position_offset``, so a position outside the table gives NaN.
        positions = self.offset + position_offset + jnp.arange(length)
        return self.embedding[...].at[positions].get(mode="fill", fill_value=jnp.nan)

    def check(self, length: int) -> None:
        """Raises ValueError if a sequence is longer than the table."""
        if length > self.positions:
            raise ValueError(f"a sequence of {length} tokens, but this checkpoint has positions for {self.positions}")


class CountedPositions(LearnedPositions):
    """RoBERTa's positions: non-padding tokens are numbered from ``padding_idx + 1``; padding has ``padding_idx``.

    Source: fairseq's numbering, as in transformers 4.57.6, models/roberta/modeling_roberta.py,
    ``create_position_ids_from_input_ids``. With a cache all earlier tokens are counted, including padding.
    """

    def of(
        self, ids: Int[Array, "batch length"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch length d_model"]:
        """The position embeddings of tokens starting at ``position_offset``; raises ValueError as ``__call__``."""
        self.check(ids.shape[1])
        padding = self.offset - 1
        counted = ids != padding
        positions = padding + (counted.cumsum(axis=1) + position_offset) * counted
        return self.embedding[...].at[positions].get(mode="fill", fill_value=jnp.nan)
