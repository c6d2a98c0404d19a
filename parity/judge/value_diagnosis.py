"""Notices about values of a run: non-finite weights, and values outside the range of float16."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.core.records import Notice
from parity.core.trace import Trace, TraceError
from parity.judge.captured_run import CheckpointRun

LARGEST = 65504.0
"""Of float16 (IEEE 754-2019, binary16)."""
CASE = "forward"
ADVICE = "audit and use it in bfloat16 or float32, whose range is 3e38; float16 needs weights that are scaled down"


def notices_of_values(run: CheckpointRun) -> list[Notice]:
    """At most one notice for weights and one for activations; empty if a trace cannot be read."""
    try:
        return [*_of_weights(run), *_of_activations(run)]
    except (TraceError, OSError, LookupError):
        return []


def _of_weights(run: CheckpointRun) -> Iterator[Notice]:
    for index, subject in run.subjects("file"):
        trace = run.trace(index, "load")
        if trace is None or trace.raised:
            continue
        counts = {name: each["non_finite"] for name, each in trace.facts["parameters"].items() if each["non_finite"]}
        if not counts:
            continue
        first, half = next(iter(counts)), subject.dtype == "float16"
        also = f", or exceed the float16 maximum of {LARGEST:,.0f}" if half else ""
        yield Notice(
            id="weights-not-finite",
            cause=f"{sum(counts.values())} weights are NaN or infinite{also}, the first in {first} "
            f"({len(counts)} of {len(trace.facts['parameters'])} parameters)",
            advice=ADVICE if half else "the training diverged, or the file is damaged: use an earlier checkpoint",
        )
        return


def _of_activations(run: CheckpointRun) -> Iterator[Notice]:
    """A notice if float16 is used, or is the dtype in the config, and the oracle's values exceed its range."""
    halves = [
        index for index, each in run.subjects("candidate") if each.dtype == "float16" and each.component == "model"
    ]
    stated = run.config.get("dtype") or run.config.get("torch_dtype")
    oracle = run.oracle(CASE)
    if oracle is None or CASE not in run.cases or not (halves or stated == "float16"):
        return
    names = [spec.name for spec in run.specs(CASE) if spec.name in oracle.arrays]
    found = next((name for name in names if _largest(oracle.arrays[name]) > LARGEST), None)
    if found is not None:
        yield Notice(
            id="float16-range",
            cause=f"values exceed the float16 range (up to {LARGEST:,.0f}): {found} reaches "
            f"{_largest(oracle.arrays[found]):,.6g} in float64; in float16 it is infinite or clamped, and later "
            "tensors differ or are NaN",
            advice=ADVICE,
        )
        return
    for index in halves:
        trace = run.trace(index, CASE)
        spoiled = None if trace is None or trace.raised else _first_spoiled(trace, oracle, names)
        if spoiled is not None:
            yield Notice(
                id="float16-range",
                cause=f"{spoiled} is not finite in float16 ({run.manifest.subjects[index].label}), but finite in "
                f"float64: an intermediate value exceeds the float16 maximum of {LARGEST:,.0f}",
                advice=ADVICE,
            )
            return


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude; 0 if there is none."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def _first_spoiled(trace: Trace, oracle: Trace, names: list[str]) -> str | None:
    for name in (name for name in names if name in trace.arrays):
        if np.isfinite(oracle.arrays[name]).all() and not np.isfinite(trace.arrays[name]).all():
            return name
    return None
