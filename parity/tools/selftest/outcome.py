"""What became of each mutant: which checks caught it, by how much, whether they named the place it was made at."""

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
"""Absolute ones, as tests of libraries compare outputs with."""
FLOWS = ("forward", "encode_decode", "decode_steps", "gradients")
"""Operations whose tensors have an order."""
OUTPUTS = ("logits", "start_logits", "end_logits", "encoder.last", "decoder.last", "loss", "sequences")
"""What such tests compare."""
SIGNALS = "signals"
"""The family of models that are other models altogether."""

Place = tuple[CheckpointRun, int]
"""A mutant on one of its fixtures: the run of that checkpoint, and the subject's place in it."""


class Outcome(BaseModel):
    """What became of one mutant."""

    model_config = ConfigDict(frozen=True)
    name: str
    family: str
    what: str
    history: str
    fixtures: list[str]
    backend: str
    about: str
    """What of a checkpoint it is about: its model, its config or its tokenizer."""
    changed: bool
    """Whether on every fixture an answer differs from the unchanged one's; if not, the mutant is void."""
    caught_by: list[str]
    """Checks that failed; none where it got through on one of its fixtures."""
    cells: int
    """How many of its cells failed."""
    errors: list[str]
    """Cells that could not be judged, and checks of numbers that another model altogether passed."""
    wanted: list[str]
    """Where it must show first."""
    named: str
    """Where the first failing cell says that it does."""
    localised: bool
    largest: float | None
    """In the failing cell that is farthest past its tolerance, the error as a multiple of tolerance; None where no
    number failed."""
    smallest: float | None
    """In the one that is nearest to it."""
    missed_by: list[str]
    """Fixed tolerances that every output of these cases is within, of ``TOLERANCES``; none where no model is asked."""


def outcome(mutant: Mutant, verdicts: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> Outcome:
    """What its verdicts come to.

    Args:
        runs: by fixture.

    Raises:
        LookupError: it was not asked on one of its fixtures.
    """
    failed = _in_order([verdict for verdict in verdicts if verdict.status in ("fail", "known")], runs)
    ratios = [v.error / v.tolerance for v in failed if v.error is not None and v.tolerance and v.error > v.tolerance]
    here = [(runs[name], _index(runs[name], mutant.name, mutant.backend)) for name in mutant.fixtures]
    everywhere = {verdict.checkpoint for verdict in failed} == set(mutant.fixtures)
    about = {run.manifest.subjects[index].about for run, index in here}.pop()
    worst = [largest(*each) for each in here] if about == "model" else []
    return Outcome(
        name=mutant.name,
        family=mutant.family,
        what=mutant.what,
        history=mutant.history,
        backend=mutant.backend,
        about=about,
        fixtures=list(mutant.fixtures),
        changed=all(_differs(*each, mutant.backend) for each in here),
        caught_by=sorted({verdict.check for verdict in failed}, key=list(CHECKS).index) if everywhere else [],
        cells=len(failed),
        errors=[*_unjudged(mutant, verdicts)],
        wanted=list(mutant.shows),
        named=_place(failed[0]) if failed else "",
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
    if mutant.family == SIGNALS:
        numbers = [v for v in verdicts if v.status == "pass" and CHECKS[v.check].group == "numbers"]
        found += [f"{v.check} {v.checkpoint} {v.case}: passed, though it is another model" for v in numbers]
    return found


def _in_order(failed: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> list[Verdict]:
    """As the cases were made, loading first; within one, as the tensors named follow from each other."""

    def place(verdict: Verdict) -> tuple[int, int]:
        run, first = runs[verdict.checkpoint], verdict.first_divergence
        flow = [spec.name for spec in run.specs(verdict.case)] if run.cases[verdict.case].operation in FLOWS else []
        tensor = first.tensor if first else ""
        return list(run.cases).index(verdict.case), flow.index(tensor) if tensor in flow else len(flow)

    return sorted(failed, key=place)


def _place(verdict: Verdict) -> str:
    """What a failure names: a tensor or a parameter; of a generated text the case, which asks for one thing."""
    if verdict.case.startswith("generate"):
        return verdict.case
    return verdict.first_divergence.tensor if verdict.first_divergence else verdict.case


def _is_localised(mutant: Mutant, failed: Sequence[Verdict]) -> bool:
    """A fault of generation fails its own cases and no others; any other is first named where it was made."""
    places = [verdict.case for verdict in failed] if mutant.family == "generation" else [*map(_place, failed[:1])]
    return bool(places) and all(any(fnmatchcase(place, known) for known in mutant.shows) for place in places)


def _index(run: CheckpointRun, name: str, backend: str) -> int:
    for index, subject in run.subjects("candidate"):
        if (Variant.parse(subject.variant).mutant, subject.backend) == (name, backend):
            return index
    raise LookupError(f"{name} was not asked about {run.checkpoint.name}")


def _differs(run: CheckpointRun, index: int, backend: str) -> bool:
    """Whether any answer is another than the unchanged one's to the same question, in any bit."""
    plain = _index(run, UNCHANGED, backend)
    both = [case for case in run.cases if run.trace(index, case) and run.trace(plain, case)]
    return any(_told(run, index, case) != _told(run, plain, case) for case in both)


def _told(run: CheckpointRun, index: int, case: str) -> Any:
    trace = run.captured(index, case)
    arrays = {name: (array.shape, array.tobytes()) for name, array in trace.arrays.items()}
    return arrays, trace.raised and trace.raised.message, trace.facts


def largest(run: CheckpointRun, index: int) -> float:
    """The largest absolute difference from the oracle at any output of any case; infinite where texts or shapes differ.

    What raises, too: a test of a library would have stopped there.
    """
    worst = 0.0
    for name, case in run.cases.items():
        trace, oracle = run.trace(index, name), run.oracle(name)
        if trace is None or oracle is None or case.notes.get("of"):
            continue
        if trace.raised:
            return float("inf")
        shared = [tensor for tensor in OUTPUTS if tensor in trace.arrays and tensor in oracle.arrays]
        worst = max([worst, *(_apart(trace.arrays[each], oracle.arrays[each], each) for each in shared)])
    return worst


def _apart(actual: np.ndarray, expected: np.ndarray, tensor: str) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if tensor == "sequences":
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    same = np.isnan(actual) & np.isnan(expected)
    found = np.where(same, 0.0, np.abs(np.subtract(actual, expected, dtype=np.float64)))
    return float("inf") if np.isnan(found).any() else float(found.max(initial=0.0))


def of_mutants(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts by the mutant that they are about; those of the unchanged variant under its own name."""
    found: dict[str, list[Verdict]] = {UNCHANGED: [], **{name: [] for name in MUTANTS}}
    for verdict in verdicts:
        if name := Variant.parse(verdict.variant).mutant:
            found[name].append(verdict)
    return found
