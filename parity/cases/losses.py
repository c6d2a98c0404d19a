"""Cases about losses and gradients. The accepted labels depend on the class's head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.core.case import IGNORED, NOISE_FLOOR, Case, Notes
from parity.core.model_spec import ModelSpec

LABELS = ("labels",)


def loss_cases(model_spec: ModelSpec, full: Mapping[str, Any], labels: np.ndarray) -> Iterator[Case]:
    """All loss cases; none for a model without a head.

    Args:
        full: inputs of the documented call.
        labels: of a language head, int ``[batch, tgt]``.
    """
    if model_spec.head == "language":
        found = _language_cases(model_spec, dict(full), labels)
    elif model_spec.head == "labels":
        found = _classification_cases(model_spec, dict(full))
    elif model_spec.head == "span":
        found = _span_cases(dict(full))
    else:
        found = iter(())
    # A decoder-only model gets its inputs as they are; an encoder-decoder class shifts the labels, or the source,
    # right.
    lacking = {} if model_spec.decoder_only else model_spec.lacking_to_shift
    ends = model_spec.lacking("eos_token_id") if model_spec.head == "labels" else {}
    for case in found:
        yield case.without({**lacking, **ends})


def _language_cases(model_spec: ModelSpec, given: dict[str, Any], labels: np.ndarray) -> Iterator[Case]:
    # A decoder-only model gets its inputs as they are; an encoder-decoder class makes decoder inputs from the labels.
    given.pop("decoder_input_ids", None)
    row_ignored = labels.copy()
    row_ignored[-1] = IGNORED

    def labelled(labels: np.ndarray) -> dict[str, Any]:
        return {**given, "labels": labels.tolist()}

    notes: Notes = {**NOISE_FLOOR, "shifts_labels": not model_spec.decoder_only}
    yield Case("loss", "forward", labelled(labels), requires=LABELS, notes=notes)
    if len(labels) > 1:
        yield Case("loss.row-ignored", "forward", labelled(row_ignored), requires=LABELS)
    if model_spec.pad is not None:
        # The last label is never a decoder input: masking it changes only what the loss counts.
        padding = labels.copy()
        padding[int((labels[:, -1] != IGNORED).argmax()), -1] = model_spec.pad
        yield Case("loss.padding-label", "forward", labelled(padding), requires=LABELS)
    if model_spec.composed and model_spec.speech is None:
        # Inputs not given are made from the labels; the mask hides the padding that replaces an ignored label.
        unmasked = {name: rows for name, rows in labelled(labels).items() if name != "decoder_attention_mask"}
        yield Case("loss.default-mask", "forward", unmasked, requires=LABELS, notes=NOISE_FLOOR)
    nothing = labelled(np.full_like(labels, IGNORED))
    yield Case("loss.all-ignored", "forward", nothing, requires=LABELS, undefined=("loss",))
    yield Case("gradients", "gradients", labelled(labels), requires=("gradients",), notes=NOISE_FLOOR)


def _classification_cases(model_spec: ModelSpec, given: dict[str, Any]) -> Iterator[Case]:
    """Class indices; or real numbers, or 0 or 1 for each text and label, by the config's ``problem_type``."""
    batch, kind = len(given["input_ids"]), model_spec.bart.problem_type
    labels = (np.arange(batch) % model_spec.labels).tolist()
    if kind == "regression" or (kind is None and model_spec.labels == 1):
        labels = np.linspace(-0.5, 1.25, batch * model_spec.labels).reshape(batch, model_spec.labels).tolist()
    elif kind == "multi_label_classification":
        labels = (
            ((np.arange(batch * model_spec.labels).reshape(batch, model_spec.labels) % 3) == 1).astype(float).tolist()
        )
    given["labels"] = labels
    yield Case("loss", "forward", given, requires=LABELS, notes=NOISE_FLOOR)
    yield Case("gradients", "gradients", given, requires=("gradients",), notes=NOISE_FLOOR)


def _span_cases(given: dict[str, Any]) -> Iterator[Case]:
    """Start and end of the answer span; a position outside of the text "is not taken into account" for the loss."""
    batch, length = len(given["input_ids"]), len(given["input_ids"][0])
    starts = [(2 * row + 1) % length for row in range(batch)]
    ends = [(2 * row + 3) % length for row in range(batch)]

    def answered(starts: list[int], ends: list[int]) -> dict[str, Any]:
        return {**given, "start_positions": starts, "end_positions": ends}

    yield Case("loss", "forward", answered(starts, ends), requires=LABELS, notes=NOISE_FLOOR)
    if batch > 1:
        # With a single row nothing would be left to average.
        outside = [*starts[:-1], length + 3], [*ends[:-1], length]
        yield Case("loss.outside", "forward", answered(*outside), requires=LABELS)
    negative = [*starts[:-1], -1], [*ends[:-1], -2]
    yield Case("loss.negative", "forward", answered(*negative), requires=LABELS)
    yield Case("gradients", "gradients", answered(starts, ends), requires=("gradients",), notes=NOISE_FLOOR)
