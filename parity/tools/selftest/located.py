"""How near a failure names the place of a change.

The truth is taken from the bytes: where the changed library's trace first differs from the unmodified one's of the same
case, in data-flow order or in decoding steps. A failure names the first tensor or step that is out of tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from parity.core.records import Verdict
from parity.core.trace import Trace
from parity.judge.captured_run import CheckpointRun
from parity.tools.selftest.outcome import FLOWS

SEQUENCES = "sequences"


class Place(NamedTuple):
    """What a failure names: ``tensor``, ``step``, ``exception`` or ``fact``; and its distance in layers or steps from
    the change, None where the failure does not say it."""

    kind: str
    distance: int | None


def nearest(run: CheckpointRun, changed: int, plain: int, failures: Sequence[Verdict]) -> Place:
    """The nearest place that the failures of one case name.

    Args:
        changed: the index of the subject with the mutation.
        plain: the index of the unmodified library.
        failures: at least one, all of the same case.
    """
    found = [_place(run, changed, plain, verdict) for verdict in failures]
    return min(found, key=lambda place: (place.distance is None, place.distance))


def _place(run: CheckpointRun, changed: int, plain: int, verdict: Verdict) -> Place:
    actual, original = run.trace(changed, verdict.case), run.trace(plain, verdict.case)
    if actual is None or original is None or actual.raised:
        known = verdict.evidence.keys() & {"exception", "frame", "outcome", "raises"}
        return Place("exception", 0 if known else None)
    if SEQUENCES in actual.arrays and SEQUENCES in original.arrays:
        return Place("step", _steps(actual, original, verdict))
    if run.cases[verdict.case].operation in FLOWS and verdict.first_divergence is not None:
        return Place("tensor", _layers(run, actual, original, verdict))
    return Place("fact", _of_facts(actual, original, verdict))


def _layers(run: CheckpointRun, actual: Trace, original: Trace, verdict: Verdict) -> int | None:
    """Layers between the first tensor with another byte and the named one."""
    assert verdict.first_divergence is not None
    specs = run.specs(verdict.case)
    flow = [spec.name for spec in specs]
    differing = next((index for index, name in enumerate(flow) if not _same(actual, original, name)), None)
    named = verdict.first_divergence.tensor
    if differing is None or named not in flow:
        return 0 if not _same(actual, original, named) else None
    low, high = sorted((differing, flow.index(named)))
    return sum(spec.kind == "hidden" for spec in specs[low + 1 : high + 1])


def _steps(actual: Trace, original: Trace, verdict: Verdict) -> int | None:
    """Decoding steps between the first other token and the named one, of the named row if there is one."""
    at = verdict.first_divergence.at if verdict.first_divergence else {}
    rows = dict(_first_other_token(actual.arrays[SEQUENCES], original.arrays[SEQUENCES]))
    row, step = at.get("batch"), verdict.evidence.get("first_step", at.get("tgt"))
    if not rows or row is None:
        # The same tokens: another tensor differs, which the failure names or not.
        named = verdict.first_divergence.tensor if verdict.first_divergence else ""
        return None if rows or _same(actual, original, named) else 0
    if row not in rows:
        return None
    return 0 if step is None else abs(step - rows[row])


def _first_other_token(actual: np.ndarray, original: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row and step of the first other token of each row that differs."""
    if actual.ndim != 2 or len(actual) != len(original):
        return
    for row, (one, other) in enumerate(zip(actual, original, strict=True)):
        shared = min(len(one), len(other))
        differing = np.flatnonzero(one[:shared] != other[:shared])
        if differing.size or len(one) != len(other):
            yield row, int(differing[0]) if differing.size else shared


def _of_facts(actual: Trace, original: Trace, verdict: Verdict) -> int | None:
    """0 if the failure names an array that differs, or if the facts that it states differ."""
    if verdict.first_divergence is not None and verdict.first_divergence.tensor in actual.arrays:
        return None if _same(actual, original, verdict.first_divergence.tensor) else 0
    return 0 if actual.facts != original.facts or actual.arrays.keys() != original.arrays.keys() else None


def _same(actual: Trace, original: Trace, name: str) -> bool:
    if name not in actual.arrays or name not in original.arrays:
        return (name in actual.arrays) == (name in original.arrays)
    one, other = actual.arrays[name], original.arrays[name]
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
