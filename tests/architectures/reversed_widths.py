"""Any family's weights with every width reversed: the same function, every sum over a width in another order.

As ``parity.backends.reference.reversed_widths`` does for BART, on the table of names that every family has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reference.names import Table
from reference.names.table import Row

WIDTHS = ("d_model", "ffn", "memory", "channels", "group", "in", "out", "gates")
"""Axes of canonical arrays that run backwards; with them heads, and what each head holds."""
OF_KIND = {"hidden": (2,), "attention": (1,), "cross-attention": (1,), "cache": (1, 3)}
"""Axes of answers that are widths, or heads."""


def weights(table: Table, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights (or gradients by them) under canonical names, reversed; a second time they are as before."""
    return {row.name: _flipped(row, given[row.name]) for row in table.rows if row.name in given}


def _flipped(row: Row, array: np.ndarray) -> np.ndarray:
    # What is cut into parts along an axis keeps their order: GPT-2's queries, keys and values, an adapter's two halves.
    parts = row.part[1] if row.part else 2 if "gates" in row.parameter.axes else 1
    cut = 0 if row.part is None else array.ndim - 1
    pieces = np.split(array, parts, axis=cut)
    axes = tuple(axis for axis, word in enumerate(row.parameter.axes) if word in WIDTHS)
    return np.ascontiguousarray(np.concatenate([np.flip(piece, axes) for piece in pieces], axis=cut))


def inputs(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The one input that has a width is an encoder's states."""
    return {n: np.ascontiguousarray(a[..., ::-1]) if n == "encoder_hidden_states" else a for n, a in given.items()}


def answer(kind: str, array: np.ndarray) -> np.ndarray:
    """An answer of the with reversed widths model, the right way round."""
    return np.flip(array, OF_KIND.get(kind, ()))
