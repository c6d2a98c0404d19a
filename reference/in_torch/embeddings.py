# Peer reference: reference/in_flax/embeddings.py
# An embedding is asked in another way than PyTorch's.
# pyright: reportIncompatibleMethodOverride=false
"""From token ids to vectors and from vectors to scores over the vocabulary; learned positions."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

POSITION_OFFSET = 2
"""The first rows of BART's position tables are never used: fairseq numbered positions from ``padding_idx + 1``."""


class TokenEmbedding(nn.Embedding):
    """The table that encoder, decoder and a tied head share.

    It has no ``padding_idx``: that would drop the padding row from its gradient, and make it no gradient.
    """

    def __init__(self, vocab: int, d_model: int, scaled: bool) -> None:
        super().__init__(vocab, d_model)
        # config.scale_embedding: Vaswani et al. 2017, section 3.4.
        self.scale = math.sqrt(d_model) if scaled else 1.0

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length d_model"]:
        """One row per token, scaled where the config says so."""
        return super().forward(ids) * self.scale

    def scores(self, hidden: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length vocab"]:
        """The tied head: every token's product with every row, never scaled."""
        return functional.linear(hidden, self.weight)


class LearnedPositions(nn.Embedding):
    """One learned vector per position (BART page, ``max_position_embeddings``).

    Args:
        offset: rows before position 0.
    """

    def __init__(self, positions: int, d_model: int, offset: int = POSITION_OFFSET) -> None:
        super().__init__(positions + offset, d_model)
        self.positions = positions
        self.offset = offset

    def forward(self, length: int, position_offset: int = 0) -> Float[Tensor, "{length} d_model"]:
        """The vectors of ``length`` positions from ``position_offset`` on.

        Raises:
            ValueError: the table has fewer positions.
        """
        self.check(length)
        return self.weight[self.offset + position_offset : self.offset + position_offset + length]

    def check(self, length: int) -> None:
        """Raises ValueError where a sequence is longer than the table."""
        if length > self.positions:
            raise ValueError(f"a sequence of {length} tokens, but this checkpoint has positions for {self.positions}")


class CountedPositions(LearnedPositions):
    """RoBERTa's: only tokens that are no padding are counted, from ``padding_idx + 1`` on; padding has ``padding_idx``.

    Source: fairseq's numbering, as in transformers 4.57.6, models/roberta/modeling_roberta.py,
    ``create_position_ids_from_input_ids``. With a cache every token before counts, padding too.
    """

    def of(self, ids: Int[Tensor, "batch length"], position_offset: int) -> Float[Tensor, "batch length d_model"]:
        """The vectors of the tokens from ``position_offset`` on; raises ValueError as ``forward`` does."""
        self.check(ids.shape[1])
        padding = self.offset - 1
        counted = ids != padding
        positions = padding + (counted.cumsum(dim=1) + position_offset) * counted
        return self.weight[positions]
