"""The part of a failure that no known issue explains.

A cell is ``known`` only if one entry explains all its results. If other results failed too, the cell fails, and its
first divergence, worst value and reason are taken from the unexplained results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from parity.judge import known_issues
from parity.judge.captured_run import mean_loss
from parity.judge.evidence import Evidence
from parity.judge.known_issues import Entry
from parity.judge.results import Comparison, Result
from parity.judge.tolerance import measure
from parity.judge.verdicts import Cell

Indices = dict[str, Any]


def left_over(cell: Cell, results: Sequence[Result], first: str | None = None) -> tuple[list[Result], list[str]]:
    """Removes the results that known issues explain.

    An entry explains the tensors that it names, in the slices that it names. An entry about an exception or a search
    explains only whole cells.

    Args:
        first: the tensor of the first divergence, which some entries require.

    Returns:
        The unexplained results, and the ids of the entries that explain the others.
    """
    left, ids = list(results), []
    for entry in _entries_about(cell, first):
        rest = [_without(cell, entry, result) for result in left]
        if any(new is not old for new, old in zip(rest, left, strict=True)):
            ids.append(entry.id)
            left = [result for result in rest if result is not None]
    return left, ids


def _entries_about(cell: Cell, first: str | None) -> Iterable[Entry]:
    versions = cell.run.manifest.environments[cell.subject.environment].get("versions", {})
    for entry in known_issues.entries():
        whole = entry.raises is not None or entry.dialect is not None or entry.settings_lost or not entry.tensors
        begins = not entry.first or entry.begins_at(first)
        if (
            not whole
            and begins
            and entry.covers(cell.check.id, cell.case.name, cell.subject, cell.run.checkpoint, versions)
        ):
            yield entry


def _without(cell: Cell, entry: Entry, result: Result) -> Result | None:
    """The part of a result that an entry does not explain: None if nothing is left, the same object if it is all."""
    if result.ok or not entry.names_tensor(result.tensor):
        return result
    indices = {axis: cell.run.config.get(name) for axis, name in entry.only_at.items()}
    if not indices:
        return None
    if not isinstance(result, Comparison) or not result.against_oracle:
        return result
    rest = _elsewhere(cell, result, indices)
    return rest if rest is None or not rest.ok else None


def _elsewhere(cell: Cell, result: Comparison, indices: Indices) -> Result | None:
    """Repeats a comparison with the oracle without these indices."""
    oracle, trace = cell.run.oracle(cell.case.name), cell.run.trace(cell.index, cell.case.name)
    spec = next((spec for spec in cell.run.specs(cell.case.name) if spec.name == result.tensor), None)
    if oracle is None or trace is None or spec is None:
        return result
    expected = oracle.arrays[spec.name]
    actual = np.array(trace.arrays[spec.name], dtype=np.float64)
    actual = mean_loss(actual) if spec.kind == "loss" else actual
    index = tuple(indices.get(axis, slice(None)) for axis in spec.axes)
    inside = all(not isinstance(at, int) or 0 <= at < size for at, size in zip(index, expected.shape, strict=False))
    if actual.shape != expected.shape or not inside or any(at is None for at in index):
        return result
    actual[index] = expected[index]
    evidence = Evidence(cell.run, cell.index, cell.subject, cell.case)
    return evidence.compared(spec, measure(actual, expected, cell.run.error_scale(cell.case.name, spec)))
