"""The interface of a model for a search: logits of the next token, row by row, with a cache."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Decoder(Protocol):
    """A decoder with a cache, set to a batch of encoded sources. Rows of one source are adjacent."""

    def start(self, rows_per_source: int) -> int:
        """Creates ``batch * rows_per_source`` rows without tokens, and returns their number."""
        ...

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Feeds one token to every row, ``decoder_start_token_id`` first.

        Args:
            tokens: int64 [rows].

        Returns:
            float64 [rows, vocab], the logits of the next token.
        """
        ...

    def reorder(self, rows: np.ndarray) -> None:
        """Row i continues from the cache of row ``rows[i]`` (int64 [rows])."""
