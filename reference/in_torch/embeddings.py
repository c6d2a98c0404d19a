# Twin: reference/in_flax/embeddings.py
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
    """One learned vector per position (BART page, ``max_position_embeddings``)."""

    def __init__(self, positions: int, d_model: int) -> None:
        super().__init__(positions + POSITION_OFFSET, d_model)
        self.positions = positions

    def forward(self, length: int, start: int = 0) -> Float[Tensor, "{length} d_model"]:
        """The vectors of ``length`` positions from ``start`` on.

        Raises:
            ValueError: the table has fewer positions.
        """
        if length > self.positions:
            raise ValueError(f"a sequence of {length} tokens, but this checkpoint has positions for {self.positions}")
        return self.weight[POSITION_OFFSET + start : POSITION_OFFSET + start + length]
