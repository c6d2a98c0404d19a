"""The standard questions put to a BART with a language-model head.

All cases share one ragged batch, because an XLA backend compiles once for each shape: besides the
batch's own there is only that of one row alone. Every axis has its own size, so that a transposed mask cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.cases import IGNORED, Case, shift_right
from parity.decoding_cases import decoding_cases
from reference.generation import GenerationSettings

SEED = 20261121
SOURCE_LENGTHS = (11, 5, 8)
TARGET_LENGTHS = (7, 4, 6)
YARDSTICK = {"sets_yardstick": True}
"""The yardstick's members answer these too: how ill-conditioned a model is depends on the tokens, so that an error at
other tokens than the yardstick's own is not held against it."""
ALONE = 1
"""The row asked again without its padding and with other mates: the shortest of the standard batch."""


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right, int64: source and its mask ``[batch, src]``, labels and theirs ``[batch, tgt]``."""

    source: np.ndarray
    source_mask: np.ndarray
    labels: np.ndarray
    target_mask: np.ndarray
    pad: int
    start: int

    @property
    def decoder_inputs(self) -> np.ndarray:
        return shift_right(self.labels, self.pad, self.start)


def standard_cases(
    config: dict[str, Any], rows: list[dict[str, Any]] | None = None, generation: dict[str, Any] | None = None
) -> list[Case]:
    """The cases asked of every backend about one checkpoint.

    Args:
        config: the checkpoint's ``config.json`` with documented defaults filled in.
        rows: each with ``input_ids`` and, if the caller has them, ``labels`` (then the targets; otherwise the source
            itself, as in denoising); without rows the standard synthetic batch.
        generation: the generation settings in force, by documented name; those in ``config`` where not given.
    """
    rng = np.random.default_rng(SEED)
    ordinary = _ordinary_tokens(config)
    batch = _pad(rows, config) if rows else _pad(_synthetic_rows(config, ordinary, rng), config)
    if not rows:
        batch.labels[0, min(2, batch.labels.shape[1] - 1)] = IGNORED
    if generation is None:
        generation = GenerationSettings.from_dict(config).to_dict()
    return _forward_cases(batch, config, ordinary, rng, generation) + _loss_cases(batch)


def _ordinary_tokens(config: dict[str, Any]) -> np.ndarray:
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    special = {config.get(name) for name in names}
    return np.array([token for token in range(config["vocab_size"]) if token not in special])


def _synthetic_rows(config: dict[str, Any], ordinary: np.ndarray, rng: np.random.Generator) -> list[dict[str, Any]]:
    longest = config["max_position_embeddings"]
    rows = []
    for source, target in zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True):
        source, target = min(source, longest), min(target, longest)
        words = rng.choice(ordinary, source - 1).tolist()
        rows.append({"input_ids": [*words, config["eos_token_id"]], "labels": rng.choice(ordinary, target).tolist()})
    return rows


def _pad(rows: list[dict[str, Any]], config: dict[str, Any]) -> Batch:
    sources = [row["input_ids"] for row in rows]
    targets = [row.get("labels") or row["input_ids"] for row in rows]
    pad, start = config["pad_token_id"], config["decoder_start_token_id"]
    source, source_mask = _padded(sources, pad)
    labels, target_mask = _padded(targets, IGNORED)
    return Batch(source, source_mask, labels, target_mask, pad, start)


def _padded(rows: list[list[int]], filler: int) -> tuple[np.ndarray, np.ndarray]:
    width = max(map(len, rows))
    filled = np.array([row + [filler] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
    return filled, mask


def _inputs(batch: Batch) -> dict[str, Any]:
    """The documented call with nothing left to a default."""
    return {
        "input_ids": batch.source.tolist(),
        "attention_mask": batch.source_mask.tolist(),
        "decoder_input_ids": batch.decoder_inputs.tolist(),
        "decoder_attention_mask": batch.target_mask.tolist(),
    }


def _changed(tokens: np.ndarray, where: np.ndarray, ordinary: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another ordinary token wherever ``where`` is true: the old one is moved round the vocabulary, so none stays."""
    steps = rng.integers(1, len(ordinary), tokens.shape)
    moved = ordinary[(np.searchsorted(ordinary, tokens) + steps) % len(ordinary)]
    moved = np.where(moved == tokens, ordinary[(np.searchsorted(ordinary, tokens) + steps + 1) % len(ordinary)], moved)
    return np.where(where, moved, tokens)


def _forward_cases(
    batch: Batch, config: dict[str, Any], ordinary: np.ndarray, rng: np.random.Generator, generation: dict[str, Any]
) -> list[Case]:
    full = _inputs(batch)
    decoder = batch.decoder_inputs
    cases = [
        Case("load", "load", requires=("load",)),
        Case("forward", "forward", full, notes=YARDSTICK),
        Case("forward.repeated", "repeat", full),
        Case("forward.tuple", "tuple", full, requires=("tuple",)),
        Case("encode-decode", "encode_decode", full, requires=("encode_decode",)),
        Case(
            "forward.defaults", "forward", {"input_ids": full["input_ids"]}, requires=("default_decoder_inputs",),
            notes=YARDSTICK,
        ),
    ]  # fmt: skip
    row = min(ALONE, len(decoder) - 1)
    source_length, target_length = int(batch.source_mask[row].sum()), int(batch.target_mask[row].sum())
    lengths = {"input_ids": source_length, "attention_mask": source_length}
    alone = {name: [values[row][: lengths.get(name, target_length)]] for name, values in full.items()}
    kept = {"row": row, "src": source_length, "tgt": target_length}
    cases.append(Case("forward.alone", "forward", alone, notes={**YARDSTICK, **kept}))

    others = (np.arange(len(decoder)) != row)[:, None]
    mates = dict(full)
    mates["input_ids"] = _changed(batch.source, others & (batch.source_mask > 0), ordinary, rng).tolist()
    mates["decoder_input_ids"] = _changed(decoder, others & (batch.target_mask > 0), ordinary, rng).tolist()
    cases.append(Case("forward.other-mates", "forward", mates, notes={**YARDSTICK, **kept}))

    position = max(1, decoder.shape[1] // 2)
    future = np.broadcast_to(np.arange(decoder.shape[1]) >= position, decoder.shape)
    changed = {**full, "decoder_input_ids": _changed(decoder, future, ordinary, rng).tolist()}
    cases.append(Case("forward.other-future", "forward", changed, notes={**YARDSTICK, "tgt": position}))

    last = batch.source_mask.sum(1) - 1
    final = np.arange(batch.source.shape[1]) == last[:, None]
    changed = {**full, "input_ids": _changed(batch.source, final, ordinary, rng).tolist()}
    cases.append(Case("forward.other-source", "forward", changed, notes={**YARDSTICK, "last": last.tolist()}))

    hidden = dict(full)
    hidden["input_ids"] = _changed(batch.source, batch.source_mask == 0, ordinary, rng).tolist()
    hidden["decoder_input_ids"] = _changed(decoder, batch.target_mask == 0, ordinary, rng).tolist()
    cases.append(Case("forward.other-padding", "forward", hidden, notes=YARDSTICK))

    silenced = {**full, **_head_masks(config)}
    notes = {**YARDSTICK, "head": 1}
    cases.append(Case("forward.head-masks", "forward", silenced, requires=("head_masks",), notes=notes))
    positions = config["max_position_embeddings"]
    return cases + decoding_cases(full, mates, alone, kept, generation, positions, ordinary)


def _head_masks(config: dict[str, Any]) -> dict[str, Any]:
    """Silences the second head (the only one, if there is but one) of the first layer of each attention."""
    masks = {}
    for name, part in (("head_mask", "encoder"), ("decoder_head_mask", "decoder"), ("cross_attn_head_mask", "decoder")):
        mask = np.ones((config[f"{part}_layers"], config[f"{part}_attention_heads"]))
        mask[0, min(1, mask.shape[1] - 1)] = 0.0
        masks[name] = mask.tolist()
    return masks


def _loss_cases(batch: Batch) -> list[Case]:
    given = _inputs(batch)
    del given["decoder_input_ids"]
    row_ignored, all_ignored = batch.labels.copy(), np.full_like(batch.labels, IGNORED)
    row_ignored[-1] = IGNORED

    def labelled(labels: np.ndarray) -> dict[str, Any]:
        return {**given, "labels": labels.tolist()}

    full, labels = labelled(batch.labels), ("labels",)
    cases = [Case("loss", "forward", full, requires=labels, notes=YARDSTICK)]
    if len(batch.labels) > 1:
        cases.append(Case("loss.row-ignored", "forward", labelled(row_ignored), requires=labels))
    cases.append(Case("loss.all-ignored", "forward", labelled(all_ignored), requires=labels, undefined=("loss",)))
    cases.append(Case("gradients", "gradients", full, requires=("gradients",), notes=YARDSTICK))
    return cases
