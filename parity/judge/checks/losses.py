"""Loss and labels: the reduction of the loss, and the decoder inputs that are made from labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.core.case import IGNORED
from parity.core.model_spec import ModelSpec
from parity.judge.captured_run import mean_loss
from parity.judge.checks.registry import check
from parity.judge.evidence import SELF_COMPARISON, Evidence, whole
from parity.judge.other_values import PADDING_SEEN, explained, other_inputs
from parity.judge.results import Comparison, Finding, Result

_LABELS = "BART page, labels: indices in [0, vocab) or -100; tokens set to -100 are ignored, the loss covers the others"
_SHIFT = "BART page, decoder_input_ids; encoder-decoder page: labels are shifted right, -100 becomes the padding token"


@check(
    "LOSS01",
    claim="the loss is within tolerance of the float64 oracle",
    source=_LABELS + "; start_positions: clamped to the length, those outside are not taken into account",
    likely_cause="a mean over the wrong count, label smoothing left on, or -100 not ignored",
    cases=("loss", "loss.row-ignored", "loss.padding-label", "loss.default-mask", "loss.outside", "loss.negative"),
)
def loss_within_tolerance(evidence: Evidence) -> Iterator[Result]:
    """One number, relative to the scale of its logits, with their noise floor."""
    yield from explained(evidence.against_oracle("loss"), lambda: _equals(evidence))


def _equals(evidence: Evidence) -> list[str]:
    """The other losses of the oracle's logits that are within tolerance, and the other case that gives the values."""
    oracle, tolerance = evidence.oracle().arrays, evidence.tolerance("loss")
    found = [PADDING_SEEN] if evidence.equals(PADDING_SEEN) else []
    if tolerance is None or evidence.answer not in oracle:
        return found
    return [*found, *_other_losses(evidence, oracle, tolerance.slice)]


def _other_losses(evidence: Evidence, arrays: Mapping[str, np.ndarray], limit: float) -> Iterator[str]:
    """The names of ``OTHER_LOSSES`` that give the returned loss from these logits."""
    actual = float(mean_loss(evidence.trace.arrays["loss"]))
    for name, inputs in other_inputs(evidence.model_spec, evidence.case.inputs):
        expected = documented_loss(evidence.model_spec, arrays, inputs)
        if abs(actual - expected) <= limit * max(evidence.scale(evidence.answer), abs(expected)):
            yield name


@check(
    "LOSS02",
    claim="the loss is the documented loss of the model's own logits: a mean over the labels that are not ignored",
    source=_LABELS + "; classifiers: mean squared error or cross-entropy; answer spans: the mean of both ends",
    likely_cause="padding counted as a label, labels shifted again, or a mean over all positions",
    cases=("loss", "loss.row-ignored", "loss.padding-label"),
)
def loss_is_cross_entropy(evidence: Evidence) -> Iterator[Result]:
    """The loss is recomputed here in float64 from the returned logits, which separates a wrong loss from wrong
    logits."""
    arrays = evidence.trace.arrays
    if not {"loss", evidence.answer} <= set(arrays):
        yield Finding(False, "loss or logits were not returned", "loss")
        return
    expected = documented_loss(evidence.model_spec, arrays, evidence.case.inputs)
    actual, tolerance = float(mean_loss(arrays["loss"])), evidence.tolerance("loss")
    if tolerance is None:
        yield Finding(False, "the loss has no tolerance: no reference returned finite values", "loss")
        return
    error = abs(actual - expected) / max(evidence.scale(evidence.answer), abs(expected))
    worst = {"actual": actual, "expected": expected}
    limit = tolerance.times(SELF_COMPARISON).slice
    compared = Comparison("loss", error if np.isfinite(error) else float("inf"), limit, "slice", {}, worst)
    yield from explained([compared], lambda: list(_other_losses(evidence, arrays, limit)))


def documented_loss(model_spec: ModelSpec, arrays: Mapping[str, np.ndarray], inputs: Mapping[str, Any]) -> float:
    """The documented loss of a call's returned logits, in float64.

    Args:
        arrays: the returned tensors by name, logits among them.
        inputs: the inputs of the case, labels or positions among them.
    """
    if model_spec.head == "span":
        ends = (("start_logits", "start_positions"), ("end_logits", "end_positions"))
        return float(
            np.mean([cross_entropy(arrays[logits], np.array(inputs[positions])) for logits, positions in ends])
        )
    labels, kind = np.array(inputs["labels"]), model_spec.bart.problem_type if model_spec.head == "labels" else None
    if model_spec.head == "labels" and (kind == "regression" or model_spec.labels == 1):
        return float(np.mean((arrays["logits"].astype(np.float64) - labels) ** 2))
    if labels.dtype.kind == "f":
        scores = arrays["logits"].astype(np.float64)
        return float(np.mean(np.logaddexp(0.0, scores) - labels * scores))
    return cross_entropy(arrays["logits"], labels)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log softmax(logits)[label] over the labels that are not -100, in float64.

    Args:
        logits: ``[batch, tgt, vocab]``, or ``[batch, classes]``.
        labels: int, one for each row of logits.

    Returns:
        NaN if every label is ignored (a mean over no labels).
    """
    counted = labels != IGNORED
    if not counted.any():
        return float("nan")
    scores = logits[counted].astype(np.float64)
    top = scores.max(axis=-1)
    normaliser = top + np.log(np.exp(scores - top[:, None]).sum(axis=-1))
    return float(np.mean(normaliser - scores[np.arange(len(scores)), labels[counted]]))


@check(
    "LOSS03",
    claim="with all labels ignored the loss is NaN (a mean over no labels), and the logits are unaffected",
    source=_LABELS + " (none here, so 0/0)",
    likely_cause="a count clamped to at least 1, so that a batch without labels has a loss of 0",
    cases=("loss.all-ignored",),
)
def all_ignored_is_undefined(evidence: Evidence) -> Iterator[Result]:
    """The loss must be NaN, and the logits of the same call must agree with the oracle."""
    loss = evidence.trace.arrays.get("loss")
    values = [] if loss is None else loss.reshape(-1).tolist()
    yield Finding(values != [] and all(map(np.isnan, values)), f"the loss is {values}, not NaN", "loss")
    yield from evidence.against_oracle("hidden", "logits")


@check(
    "SHIFT01",
    claim="decoder inputs made from labels are the start token and all labels but the last, with -100 as padding",
    source=_SHIFT,
    likely_cause="labels not shifted or shifted twice, or -100 looked up in the embedding table",
    cases=("loss",),
    depends_on=("forward",),
    applies=lambda case: bool(case.notes.get("shifts_labels")),
)
def labels_are_shifted(evidence: Evidence) -> Iterator[Result]:
    """The pass with labels must equal the backend's own pass with the shifted labels as decoder inputs."""
    yield from evidence.between("loss", "forward", whole, whole)


@check(
    "SHIFT02",
    claim="without decoder inputs or labels the decoder input is the source shifted right",
    source="BART page, decoder_input_ids: if none are given they are made by shifting input_ids to the right",
    likely_cause="another start token, padding at the wrong positions, or a default that only one framework has",
    cases=("forward.defaults",),
    requires=("default_decoder_inputs",),
)
def source_is_shifted(evidence: Evidence) -> Iterator[Result]:
    """Compares every tensor of a pass with only ``input_ids`` with the oracle."""
    yield from evidence.against_oracle()
