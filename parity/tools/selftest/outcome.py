"""The result of each mutant: the checks that caught it, their errors, and whether the fault was localised."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from parity.backends.mutants import MUTANTS, UNCHANGED, Mutant
from parity.core.records import Verdict
from parity.core.subject import Variant
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS

TOLERANCES = {"1e-5": 1e-5, "1e-3": 1e-3}
"""Absolute tolerances that tests of libraries use for outputs."""
FLOWS = ("forward", "encode_decode", "decode_steps", "gradients")
"""Operations whose tensors have a data-flow order."""
OUTPUTS = ("logits", "start_logits", "end_logits", "encoder.last", "decoder.last", "loss", "sequences")
"""The outputs that such tests compare."""
SIGNALS = "signals"
"""The mutant family of entirely different models."""

MutantRun = tuple[CheckpointRun, int]
"""A mutant on one of its fixtures: the run of that checkpoint, and the subject's index."""


class Outcome(BaseModel):
    """The result of one mutant."""

    model_config = ConfigDict(frozen=True)
    name: str
    family: str
    what: str
    history: str
    fixtures: list[str]
    backend: str
    component: str
    """The mutated component: the model, the config or the tokenizer."""
    changed: bool
    """Whether an output differs from the unmodified one on every fixture; if not, the mutant has no effect."""
    caught_by: list[str]
    """Checks that failed; empty if no check failed on one of the fixtures."""
    cells: int
    """The number of failed cells."""
    errors: list[str]
    """Cells that could not be judged, and numeric checks that an entirely different model passed."""
    wanted: list[str]
    """The tensors or cases at which the fault must show first."""
    named: str
    """The first divergence of the first failing cell."""
    localised: bool
    largest: float | None
    """The largest error of a failing cell as a multiple of tolerance; None if no numeric comparison failed."""
    smallest: float | None
    """The smallest such error."""
    missed_by: list[str]
    """The ``TOLERANCES`` that all outputs of its cases are within; empty if another component is mutated."""


def outcome(mutant: Mutant, verdicts: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> Outcome:
    """Summarises the verdicts of one mutant.

    Args:
        runs: by fixture.

    Raises:
        LookupError: it was not run on one of its fixtures.
    """
    failed = _in_order([verdict for verdict in verdicts if verdict.status in ("fail", "known")], runs)
    ratios = [v.error / v.tolerance for v in failed if v.error is not None and v.tolerance and v.error > v.tolerance]
    here = [(runs[name], _index(runs[name], mutant.name, mutant.backend)) for name in mutant.fixtures]
    everywhere = {verdict.checkpoint for verdict in failed} == set(mutant.fixtures)
    component = {run.manifest.subjects[index].component for run, index in here}.pop()
    worst = [largest(*each) for each in here] if component == "model" else []
    return Outcome(
        name=mutant.name,
        family=mutant.group,
        what=mutant.what,
        history=mutant.history,
        backend=mutant.backend,
        component=component,
        fixtures=list(mutant.fixtures),
        changed=all(_differs(*each, mutant.backend) for each in here),
        caught_by=sorted({verdict.check for verdict in failed}, key=list(CHECKS).index) if everywhere else [],
        cells=len(failed),
        errors=[*_unjudged(mutant, verdicts)],
        wanted=list(mutant.shows),
        named=_first_divergence(failed[0]) if failed else "",
        localised=_is_localised(mutant, failed),
        largest=max(ratios, default=None),
        smallest=min(ratios, default=None),
        missed_by=[name for name, bound in TOLERANCES.items() if worst and max(worst) <= bound],
    )


def cell(verdict: Verdict) -> str:
    """A verdict in one line."""
    return f"{verdict.check} {verdict.checkpoint} {verdict.case} {verdict.backend}: {verdict.status}, {verdict.reason}"


def _unjudged(mutant: Mutant, verdicts: Sequence[Verdict]) -> list[str]:
    found = [cell(verdict) for verdict in verdicts if verdict.status == "error"]
    if mutant.group == SIGNALS:
        numbers = [v for v in verdicts if v.status == "pass" and CHECKS[v.check].group == "numbers"]
        found += [f"{v.check} {v.checkpoint} {v.case}: passed, although it is another model" for v in numbers]
    return found


def _in_order(failed: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> list[Verdict]:
    """Sorts failures by the order of cases, loading first, and within a case by the data-flow order of tensors."""

    def data_flow_position(verdict: Verdict) -> tuple[int, int]:
        run, first = runs[verdict.checkpoint], verdict.first_divergence
        flow = [spec.name for spec in run.specs(verdict.case)] if run.cases[verdict.case].operation in FLOWS else []
        tensor = first.tensor if first else ""
        return list(run.cases).index(verdict.case), flow.index(tensor) if tensor in flow else len(flow)

    return sorted(failed, key=data_flow_position)


def _first_divergence(verdict: Verdict) -> str:
    """The location of a failure: its tensor or parameter; for generated text the case."""
    if verdict.case.startswith("generate"):
        return verdict.case
    return verdict.first_divergence.tensor if verdict.first_divergence else verdict.case


def _is_localised(mutant: Mutant, failed: Sequence[Verdict]) -> bool:
    """Whether a fault is localised: a fault of generation fails only its own cases; any other is first divergent where
    it
    was made."""
    locations = (
        [verdict.case for verdict in failed] if mutant.group == "generation" else [*map(_first_divergence, failed[:1])]
    )
    return bool(locations) and all(
        any(fnmatchcase(location, known) for known in mutant.shows) for location in locations
    )


def _index(run: CheckpointRun, name: str, backend: str) -> int:
    for index, subject in run.subjects("candidate"):
        if (Variant.parse(subject.variant).mutant, subject.backend) == (name, backend):
            return index
    raise LookupError(f"{name} was not run on {run.checkpoint.name}")


def _differs(run: CheckpointRun, index: int, backend: str) -> bool:
    """Whether any trace differs from the unmodified one's of the same case in any bit."""
    plain = _index(run, UNCHANGED, backend)
    both = [case for case in run.cases if run.trace(index, case) and run.trace(plain, case)]
    return any(_answer(run, index, case) != _answer(run, plain, case) for case in both)


def _answer(run: CheckpointRun, index: int, case: str) -> Any:
    trace = run.captured(index, case)
    arrays = {name: (array.shape, array.tobytes()) for name, array in trace.arrays.items()}
    return arrays, trace.raised and trace.raised.message, trace.facts


def largest(run: CheckpointRun, index: int) -> float:
    """The largest absolute difference from the oracle at any output of any case; infinite if texts or shapes differ, or
    if
    the backend raised.
    """
    worst = 0.0
    for name, case in run.cases.items():
        trace, oracle = run.trace(index, name), run.oracle(name)
        if trace is None or oracle is None or case.notes.get("of"):
            continue
        if trace.raised:
            return float("inf")
        shared = [tensor for tensor in OUTPUTS if tensor in trace.arrays and tensor in oracle.arrays]
        worst = max([worst, *(_largest_difference(trace.arrays[each], oracle.arrays[each], each) for each in shared)])
    return worst


def _largest_difference(actual: np.ndarray, expected: np.ndarray, tensor: str) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if tensor == "sequences":
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    same = np.isnan(actual) & np.isnan(expected)
    found = np.where(same, 0.0, np.abs(np.subtract(actual, expected, dtype=np.float64)))
    return float("inf") if np.isnan(found).any() else float(found.max(initial=0.0))


def of_mutants(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Groups verdicts by mutant, with those of the unmodified variant under its own name."""
    found: dict[str, list[Verdict]] = {UNCHANGED: [], **{name: [] for name in MUTANTS}}
    for verdict in verdicts:
        if name := Variant.parse(verdict.variant).mutant:
            found[name].append(verdict)
    return found
