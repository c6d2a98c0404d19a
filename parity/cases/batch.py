"""The batch of the standard cases: encoder inputs and decoder inputs, row by row.

Rows are padded on the right and have different lengths. Every axis has a different size, so that a transposed mask
cannot pass. An XLA backend compiles once per shape, so all cases share one batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.core.case import IGNORED
from parity.core.model_spec import ModelSpec
from reference.config.tokens import usable

SOURCE_LENGTHS = (11, 5, 8)
TARGET_LENGTHS = (7, 4, 6)


@dataclass(frozen=True)
class Sequence:
    """One padded sequence per row (tokens, audio samples or states) and its mask.

    Args:
        name, mask_name: argument names of the documented call.
        values: ``[batch, length]`` or ``[batch, length, width]``.
        mask: int ``[batch, length]``, 0 for padding.
        ordinary: ids of all but the special tokens; None where values are not tokens.
        fixed: bool ``[batch, length]``: positions that no case may change (a classifier's end tokens).
    """

    name: str
    mask_name: str
    values: np.ndarray
    mask: np.ndarray
    ordinary: np.ndarray | None = None
    fixed: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Length of each row without its padding."""
        return self.mask.sum(axis=1)

    @property
    def inputs(self) -> dict[str, Any]:
        """The keyword arguments of the call."""
        return {self.name: self.values.tolist(), self.mask_name: self.mask.tolist()}

    def row(self, row: int) -> Sequence:
        """One row alone, without its padding."""
        cut = (slice(row, row + 1), slice(int(self.lengths[row])))
        return replace(
            self, values=self.values[cut], mask=self.mask[cut], fixed=None if self.fixed is None else self.fixed[cut]
        )

    def changed(self, where: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """The arguments with other values wherever ``where`` (bool, broadcast to ``[batch, length]``) is true."""
        where = np.broadcast_to(where, self.mask.shape)
        if self.fixed is not None:
            where = where & ~self.fixed
        drawn = (
            _other_tokens(self.values, self.ordinary, rng) if self.ordinary is not None else _other_values(self, rng)
        )
        where = where.reshape(where.shape + (1,) * (self.values.ndim - 2))
        return {**self.inputs, self.name: np.where(where, drawn, self.values).tolist()}


def _other_tokens(tokens: np.ndarray, ordinary: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another ordinary token at every position: each id is shifted cyclically within the ordinary ids, so none stays
    the same."""
    steps = rng.integers(1, len(ordinary), tokens.shape)
    moved = ordinary[(np.searchsorted(ordinary, tokens) + steps) % len(ordinary)]
    again = ordinary[(np.searchsorted(ordinary, tokens) + steps + 1) % len(ordinary)]
    return np.where(moved == tokens, again, moved)


def _other_values(given: Sequence, rng: np.random.Generator) -> np.ndarray:
    return as_single(rng.normal(0.0, 1.0, given.values.shape))


def as_single(values: np.ndarray) -> np.ndarray:
    """Rounded to float32, the type every backend receives: the oracle must not see digits that the others do not."""
    return values.astype(np.float32).astype(np.float64)


def ordinary_tokens(model_spec: ModelSpec, vocab: int) -> np.ndarray:
    """Ids of the vocabulary without the special tokens."""
    return np.array([token for token in range(vocab) if token not in model_spec.special])


def synthetic_rows(model_spec: ModelSpec, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of ordinary tokens, each source followed by an end token if there is one. Used where the caller gives no
    rows."""
    words, targets = (ordinary_tokens(model_spec, vocab) for vocab in (model_spec.source_vocab, model_spec.vocab))
    rows = []
    for source, target in zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True):
        source, target = min(source, model_spec.source_positions), min(target, model_spec.positions)
        row: dict[str, Any] = {}
        if model_spec.speech is None:
            end = usable(model_spec.end, model_spec.source_vocab)
            last = rng.choice(words, 1).tolist() if end is None else [end]
            row["input_ids"] = [*rng.choice(words, source - 1).tolist(), *last]
        else:
            row["input_values"] = rng.normal(0.0, 1.0, samples(model_spec, source)).tolist()
        rows.append({**row, "labels": rng.choice(targets, target).tolist()})
    return rows


def samples(model_spec: ModelSpec, frames: int) -> int:
    """The number of audio samples from which the convolutions make this many frames, with one sample left over."""
    stride = int(np.prod(model_spec.audio.conv_stride))
    return model_spec.audio.receptive_field + stride * (frames * model_spec.shortening - 1) + 1


def source_of(model_spec: ModelSpec, rows: list[dict[str, Any]]) -> Sequence:
    """The encoder's input; for a decoder-only model, the decoder's."""
    if model_spec.speech is not None:
        audio = [np.asarray(row["input_values"], np.float64) for row in rows]
        width = max(map(len, audio))
        values = np.stack([np.pad(each, (0, width - len(each))) for each in audio])
        mask = np.array([[1] * len(each) + [0] * (width - len(each)) for each in audio], np.int64)
        return Sequence("input_values", "attention_mask", as_single(values), mask)
    values, mask = padded([list(row["input_ids"]) for row in rows], model_spec.source_pad)
    fixed = values == model_spec.end if model_spec.head == "labels" else None
    return Sequence(
        "input_ids", "attention_mask", values, mask, ordinary_tokens(model_spec, model_spec.source_vocab), fixed
    )


def labels_of(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """The target and its mask; where a row has no labels, the source itself, as in denoising."""
    return padded([list(row.get("labels") or row["input_ids"]) for row in rows], IGNORED)


def padded(rows: list[list[int]], filler: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows padded on the right and their mask (0 at padding); both int64 ``[batch, length]``."""
    width = max(map(len, rows))
    filled = np.array([row + [filler] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
    return filled, mask
