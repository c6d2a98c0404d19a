"""All measured errors as rows of the report, for its plots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from parity.core.records import CaseRecord, MeasuredError, SubjectRecord
from parity.core.tensors import TensorSpec
from parity.core.trace import TraceError
from parity.judge.captured_run import CheckpointRun
from parity.judge.tolerance import Measured, Tolerance

Bounds = dict[str, tuple[Tolerance, Tolerance] | None]
"""By tensor: noise floor and tolerance; None if no reference returned finite values."""


def measured_errors(run: CheckpointRun) -> list[MeasuredError]:
    """One row for each candidate × case × tensor that a check compared; nothing else is measured.

    Tensors that are undefined in a case (``Case.undefined``) are left out, as in judging.
    """
    rows = []
    for index, subject in run.subjects("candidate"):
        bounds: Bounds = {}
        for case, found in run.measured.items():
            for spec in found.specs:
                error = found.errors.get(index, {}).get(spec.name)
                if error is None or spec.name in run.cases[case].undefined:
                    continue
                if spec.name not in bounds:
                    bounds[spec.name] = _bounds(run, subject, spec.name)
                rows.append(
                    MeasuredError(
                        checkpoint=run.checkpoint.name,
                        subject=index,
                        case=case,
                        tensor=spec.name,
                        kind=spec.kind,
                        places=_by_position(case, spec, error, bounds[spec.name]),
                        **_numbers(error, bounds[spec.name]),
                    )
                )
    return rows


def case_records(run: CheckpointRun) -> list[CaseRecord]:
    """The cases of a checkpoint, with the shapes of their inputs."""
    return [
        CaseRecord(
            name=case.name,
            operation=case.operation,
            digest=case.digest,
            shapes={name: _shape(rows) for name, rows in case.inputs.items()},
        )
        for case in run.cases.values()
    ]


def _bounds(run: CheckpointRun, subject: SubjectRecord, tensor: str) -> tuple[Tolerance, Tolerance] | None:
    try:
        noise_floor = run.noise_floor(subject)
    except (TraceError, OSError):
        # A trace of the noise floor cannot be read: the cells that need it report the error.
        return None
    error, tolerance = noise_floor.error(tensor, subject.backend), noise_floor.tolerance(tensor, subject.backend)
    return (error, tolerance) if error and tolerance else None


def _numbers(error: Measured | str, bounds: tuple[Tolerance, Tolerance] | None) -> dict[str, Any]:
    """The numeric fields of a row."""
    known: dict[str, Any] = {"noise_floor": bounds[0].slice, "tolerance": bounds[1].slice} if bounds else {}
    if isinstance(error, str):
        return {**known, "note": error}
    known["at"] = list(error.slice_at)
    if not math.isfinite(error.slice):
        return {**known, "note": "is not finite, or the oracle's is not"}
    if bounds:
        known["ratio"] = max(error.slice / bounds[1].slice, error.element / bounds[1].element)
    return {**known, "error": error.slice}


def _by_position(
    case: str, spec: TensorSpec, error: Measured | str, bounds: tuple[Tolerance, Tolerance] | None
) -> list[float]:
    """For each position the largest error over rows as a multiple of tolerance, to three digits; empty if the tensor
    has no positions."""
    by_position = case == "forward" and spec.axes[0] == "batch" and len(spec.axes) == 3
    if not by_position or isinstance(error, str) or bounds is None:
        return []
    worst = error.slices.max(axis=0) / bounds[1].slice
    return [float(f"{each:.3g}") for each in worst] if np.isfinite(worst).all() else []


def _shape(rows: object) -> list[int]:
    shape = []
    while isinstance(rows, list):
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return shape
