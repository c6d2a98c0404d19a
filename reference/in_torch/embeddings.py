# Peer reference: reference/in_flax/embeddings.py
# The signatures differ from those of PyTorch's modules.
# pyright: reportIncompatibleMethodOverride=false
"""Token embedding, its use as a tied head, and learned position embeddings."""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

POSITION_OFFSET = 2
"""Unused rows at the start of BART's position tables: fairseq numbered positions from ``padding_idx + 1``."""


class Table(nn.Embedding):
    """An embedding table whose values are assigned by ``build``."""

    def reset_parameters(self) -> None:
        """Draws no values: on the meta device ``normal_`` of PyTorch 2.13 imports ``torch._dynamo`` for two seconds."""


class TokenEmbedding(Table):
    """The token embedding that encoder, decoder and a tied head share.

    It has no ``padding_idx``, which would set the gradient of the padding row to zero.
    """

    def __init__(self, vocab: int, d_model: int, scaled: bool) -> None:
        super().__init__(vocab, d_model)
        # config.scale_embedding: Vaswani et al. 2017, section 3.4.
        self.scale = math.sqrt(d_model) if scaled else 1.0

    def forward(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length d_model"]:
        """Looks up the embedding of each token, scaled if the config sets ``scale_embedding``."""
        return super().forward(ids) * self.scale

    def scores(self, hidden: Float[Tensor, "batch length d_model"]) -> Float[Tensor, "batch length vocab"]:
        """The tied head: the product of each state with each row of the table, not scaled."""
        return functional.linear(hidden, self.weight)


class LearnedPositions(Table):
    """One learned vector per position (BART page, ``max_position_embeddings``).

    Args:
        offset: rows before position 0.
    """

    def __init__(self, positions: int, d_model: int, offset: int = POSITION_OFFSET) -> None:
        super().__init__(positions + offset, d_model)
        self.positions = positions
        self.offset = offset

    def forward(self, length: int, position_offset: int = 0) -> Float[Tensor, "{length} d_model"]:
        """The embeddings of ``length`` positions starting at ``position_offset``.

        Raises:
            ValueError: the table has fewer positions.
        """
        self.check(length)
        return self.weight[self.offset + position_offset : self.offset + position_offset + length]

    def check(self, length: int) -> None:
        """Raises ValueError if a sequence is longer than the table."""
        if length > self.positions:
            raise ValueError(f"a sequence of {length} tokens, but this checkpoint has positions for {self.positions}")


class CountedPositions(LearnedPositions):
    """RoBERTa's positions: non-padding tokens are numbered from ``padding_idx + 1``; padding has ``padding_idx``.

    Source: fairseq's numbering, as in transformers 4.57.6, models/roberta/modeling_roberta.py,
    ``create_position_ids_from_input_ids``. With a cache all earlier tokens are counted, including padding.
    """

    def of(self, ids: Int[Tensor, "batch length"], position_offset: int) -> Float[Tensor, "batch length d_model"]:
        """The position embeddings of tokens starting at ``position_offset``; raises ValueError as ``forward``."""
        self.check(ids.shape[1])
        padding = self.offset - 1
        counted = ids != padding
        positions = padding + (counted.cumsum(dim=1) + position_offset) * counted
        return self.weight[positions]
