# Peer reference: reference/in_torch/embeddings.py
"""From token ids to vectors and from vectors to scores over the vocabulary; learned positions."""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

POSITION_OFFSET = 2
"""The first rows of BART's position tables are never used: fairseq numbered positions from ``padding_idx + 1``."""


class TokenEmbedding(nnx.Module):
    """The table that encoder, decoder and a tied head share.

    It has no ``padding_idx``: that would drop the padding row from its gradient, and make it no gradient.
    """

    def __init__(self, vocab: int, d_model: int, scaled: bool, rngs: nnx.Rngs) -> None:
        self.embedding = nnx.Param(nnx.initializers.normal()(rngs.params(), (vocab, d_model)))
        # config.scale_embedding: Vaswani et al. 2017, section 3.4.
        self.scale = math.sqrt(d_model) if scaled else 1.0

    def __call__(self, ids: Int[Array, "batch length"]) -> Float[Array, "batch length d_model"]:
        """One row per token, scaled where the config says so."""
        # An index outside the table raises in PyTorch; compiled code cannot, so it gives NaN rather than another row.
        return self.embedding[...].at[ids].get(mode="fill", fill_value=jnp.nan) * self.scale

    def scores(self, hidden: Float[Array, "batch length d_model"]) -> Float[Array, "batch length vocab"]:
        """The tied head: every token's product with every row, never scaled."""
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
        """The vectors of ``length`` positions from ``position_offset`` on.

        Raises:
            ValueError: the table has fewer positions.
        """
        self.check(length)
        # Compiled code cannot raise for a traced ``position_offset``: a missing position becomes NaN, not another row.
        positions = self.offset + position_offset + jnp.arange(length)
        return self.embedding[...].at[positions].get(mode="fill", fill_value=jnp.nan)

    def check(self, length: int) -> None:
        """Raises ValueError where a sequence is longer than the table."""
        if length > self.positions:
            raise ValueError(f"a sequence of {length} tokens, but this checkpoint has positions for {self.positions}")


class CountedPositions(LearnedPositions):
    """RoBERTa's: only tokens that are no padding are counted, from ``padding_idx + 1`` on; padding has ``padding_idx``.

    Source: fairseq's numbering, as in transformers 4.57.6, models/roberta/modeling_roberta.py,
    ``create_position_ids_from_input_ids``. With a cache every token before counts, padding too.
    """

    def of(
        self, ids: Int[Array, "batch length"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch length d_model"]:
        """The vectors of the tokens from ``position_offset`` on; raises ValueError as ``__call__`` does."""
        self.check(ids.shape[1])
        padding = self.offset - 1
        counted = ids != padding
        positions = padding + (counted.cumsum(axis=1) + position_offset) * counted
        return self.embedding[...].at[positions].get(mode="fill", fill_value=jnp.nan)
