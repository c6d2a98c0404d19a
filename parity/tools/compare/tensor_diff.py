"""The differences of two traces of one case, tensor by tensor: the rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parity.core.records import SubjectRecord
from parity.core.trace import Trace
from parity.judge.captured_run import CheckpointRun
from parity.judge.tolerance import Measured, measure


@dataclass(frozen=True)
class TensorRow:
    """One tensor, or one parameter, of both sides."""

    name: str
    error: float | None = None
    """Relative to the first side's scale; None where there is no number, and ``note`` says why."""
    share: float | None = None
    """Of the sum of both tolerances; None where a run measured none."""
    at: tuple[int, ...] = ()
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether the difference is larger than that of two conforming implementations can be."""
        return bool(self.note) or (self.share is not None and not self.share <= 1)

    @property
    def unjudged(self) -> bool:
        """Whether the numbers differ and there is no tolerance for the tensor."""
        return bool(self.error) and self.share is None


def tensor_rows(
    run: CheckpointRun,
    left: SubjectRecord,
    peer: CheckpointRun,
    right: SubjectRecord,
    case: str,
    ours: Trace,
    theirs: Trace,
) -> Iterator[TensorRow]:
    """The rows of one case with a trace on both sides, in data-flow order; none where both raised alike."""
    if ours.raised or theirs.raised:
        words = [trace.raised.type if trace.raised else "an answer" for trace in (ours, theirs)]
        if words[0] != words[1]:
            yield TensorRow(case, note=f"{words[0]} ↔ {words[1]}")
    elif run.cases[case].operation == "load":
        tied = {name: group for group in run.model_spec.table.groups for name in group}
        words = ("shape", "dtype", "digest") if left.dtype == right.dtype else ("shape",)
        yield from _parameters(ours.facts["parameters"], theirs.facts["parameters"], tied, words)
    else:
        for name in dict.fromkeys([*(spec.name for spec in run.specs(case)), *ours.arrays, *theirs.arrays]):
            there = [name in trace.arrays for trace in (ours, theirs)]
            if all(there):
                yield _tensor(run, left, peer, right, case, name, ours.arrays[name], theirs.arrays[name])
            elif any(there):
                yield TensorRow(name, note=f"only {(left if there[0] else right).label} has it")


def _tensor(
    run: CheckpointRun,
    left: SubjectRecord,
    peer: CheckpointRun,
    right: SubjectRecord,
    case: str,
    name: str,
    ours: np.ndarray,
    theirs: np.ndarray,
) -> TensorRow:
    """One tensor that both sides have; only canonical tensors have a tolerance."""
    spec = next((spec for spec in run.specs(case) if spec.name == name), None)
    if spec is None:
        return _row(name, ours, theirs, None, None)
    one, other = run.tolerance(left, name), peer.tolerance(right, name)
    tolerance = None if one is None or other is None else one.slice + other.slice
    return _row(name, ours, theirs, run.error_scale(case, spec), tolerance)


def _row(name: str, ours: np.ndarray, theirs: np.ndarray, scale: float | None, tolerance: float | None) -> TensorRow:
    if ours.shape != theirs.shape:
        return TensorRow(name, note=f"shape {list(ours.shape)} ↔ {list(theirs.shape)}")
    if ours.dtype.kind in "iub":
        indices = np.argwhere(ours != theirs)
        if not len(indices):
            return TensorRow(name, 0.0)
        at = tuple(int(index) for index in indices[0])
        return TensorRow(name, at=at, note=f"{ours[at]} ↔ {theirs[at]}, {len(indices)} of {ours.size} differ")
    if not ours.size:
        return TensorRow(name, 0.0)
    found: Measured = measure(theirs, ours, scale)
    if not np.isfinite(found.slice):
        return TensorRow(name, at=found.slice_at, note="not finite on one side alone")
    return TensorRow(name, found.slice, None if tolerance is None else found.slice / tolerance, found.slice_at)


def _parameters(
    ours: Mapping[str, dict], theirs: Mapping[str, dict], tied: Mapping[str, Sequence[str]], words: Sequence[str]
) -> Iterator[TensorRow]:
    """The loaded parameters, compared by digest.

    Args:
        tied: names of one shared table; a side may have any of them.
        words: the properties that must be equal: in different dtypes the bits differ.
    """
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            lacking = ours if one is None else theirs
            if any(alias in lacking for alias in tied.get(name, ())):
                continue
            yield TensorRow(name, note=f"only {'the second' if one is None else 'the first'} side has it")
        elif all(one[word] == other[word] for word in words):
            yield TensorRow(name, 0.0)
        else:
            differences = [f"{w} {one[w]} ↔ {other[w]}" for w in words if w != "digest" and one[w] != other[w]]
            yield TensorRow(name, note="; ".join(differences) or "other bits")
