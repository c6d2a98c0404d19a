"""How good the checks are at catching faults: every mutant captured and judged like any other candidate.

The variant without a change is judged beside them on the same cells; where it does not pass, the selftest is void.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from parity.mutants import MUTANTS, UNCHANGED, Mutant
from parity.records import Report, Verdict
from parity.resources import fixture
from parity.run import CheckpointRun
from parity.subjects import MUTANT, Subject, Variant

if TYPE_CHECKING:
    from parity.capture import Event

TOLERANCES = {"1e-5": 1e-5, "1e-3": 1e-3}
"""Absolute ones, as tests of libraries compare outputs with."""
OUTPUTS = ("logits", "start_logits", "end_logits", "encoder.last", "decoder.last", "loss", "sequences")
"""What such tests compare."""


class Outcome(BaseModel):
    """What became of one mutant."""

    model_config = ConfigDict(frozen=True)
    name: str
    family: str
    what: str
    history: str
    fixtures: list[str]
    backend: str
    changed: bool
    """Whether any trace differs from the unchanged one's; if none does, the mutant is void and proves nothing."""
    caught_by: list[str]
    cells: int
    """How many of its cells failed."""
    errors: list[str]
    """Cells that the harness could not judge."""
    wanted: list[str]
    """Where it must show first."""
    named: str
    """Where the first failing cell in data-flow order says that it does."""
    localised: bool
    largest: float | None
    """In the failing cell that is farthest past its budget: the error in budgets; None where no number failed."""
    smallest: float | None
    """The same of the failing cell that is nearest to it."""
    missed_by: list[str]
    """Fixed tolerances that every output of these cases is within, of ``TOLERANCES``."""


class Selftest(BaseModel):
    """A selftest, as ``--json`` prints it."""

    model_config = ConfigDict(frozen=True)
    command: str
    seconds: float
    sound: list[str]
    """What the unchanged variant failed: nothing, or the selftest is void."""
    honest: dict[str, float]
    """By fixture, the largest absolute difference of the unchanged variant's outputs from the oracle's."""
    outcomes: list[Outcome]
    unneeded: list[str]
    """Checks that judged a mutant's cells and were not needed for any: each mutant they caught was caught without."""
    idle: list[str]
    """Checks that caught no mutant."""

    @property
    def missed(self) -> list[str]:
        return [each.name for each in self.outcomes if not each.caught_by]

    @property
    def void(self) -> list[str]:
        return [each.name for each in self.outcomes if not each.changed]

    @property
    def passed(self) -> bool:
        return not (self.sound or self.missed or self.void or any(each.errors for each in self.outcomes))


def selftest(
    names: Sequence[str] | None = None, *, cache: Path | None = None, jobs: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Selftest:  # fmt: skip
    """Captures and judges mutants on small fixtures.

    Args:
        names: mutants, or families of them; all by default.
        cache: where traces are kept; by default the user's cache directory.

    Raises:
        NothingToJudge: no mutant or family is called so.
        CaptureError: nothing could be captured.
    """
    from parity.capture import capture
    from parity.derived import DERIVED
    from parity.judge import judge

    began, chosen = time.monotonic(), select(names)
    candidates = {name: list(_subjects(name, chosen)) for name in dict.fromkeys(f for m in chosen for f in m.fixtures)}
    with tempfile.TemporaryDirectory(prefix="parity-selftest-") as folder:
        run = Path(folder) / "run"
        capture(
            [fixture(name) for name in candidates], out=run, cache=cache, candidates=candidates, derive=DERIVED, jobs=jobs,
            progress=progress,
        )  # fmt: skip
        report = judge(run)
        _, runs = CheckpointRun.open_all(run)
        return _summed_up(chosen, report, {each.checkpoint.name: each for each in runs}, time.monotonic() - began)


def select(names: Sequence[str] | None) -> list[Mutant]:
    """Mutants by name or family, in the order in which they are defined.

    Raises:
        NothingToJudge: a name is unknown.
    """
    from parity.judge import NothingToJudge

    families = {mutant.family for mutant in MUTANTS.values()}
    unknown = sorted(set(names or ()) - set(MUTANTS) - families)
    if unknown:
        known = f"families are {', '.join(sorted(families))}; parity selftest --list names all mutants"
        raise NothingToJudge(f"no mutant or family is called {', '.join(unknown)}; {known}")
    return [mutant for mutant in MUTANTS.values() if not names or {mutant.name, mutant.family} & set(names)]


def _subjects(name: str, chosen: Sequence[Mutant]) -> Iterator[Subject]:
    """Who is judged on a fixture: each host unchanged, then its mutants."""
    here = [mutant for mutant in chosen if name in mutant.fixtures]
    for host in dict.fromkeys(mutant.backend for mutant in here):
        for fault in [UNCHANGED, *(mutant.name for mutant in here if mutant.backend == host)]:
            yield Subject(host, str(Variant(mutant=fault)))


def _summed_up(chosen: Sequence[Mutant], report: Report, runs: dict[str, CheckpointRun], seconds: float) -> Selftest:
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in report.verdicts:
        if MUTANT in verdict.variant:
            verdicts[Variant.parse(verdict.variant).mutant].append(verdict)
    sound = [_cell(v) for v in verdicts.pop(UNCHANGED, []) if v.status not in ("pass", "skip")]
    outcomes = [_outcome(mutant, verdicts[mutant.name], runs) for mutant in chosen]
    caught = {check for outcome in outcomes for check in outcome.caught_by}
    alone = {outcome.caught_by[0] for outcome in outcomes if len(outcome.caught_by) == 1}
    judged = dict.fromkeys(v.check for each in verdicts.values() for v in each if v.status != "skip")
    return Selftest(
        command="parity selftest",
        seconds=seconds,
        sound=sound,
        honest={name: _honest(run) for name, run in runs.items()},
        outcomes=outcomes,
        unneeded=[check for check in judged if check in caught - alone],
        idle=[check for check in judged if check not in caught],
    )


def _cell(verdict: Verdict) -> str:
    return f"{verdict.check} {verdict.checkpoint} {verdict.case} {verdict.backend}: {verdict.status}, {verdict.reason}"


def _outcome(mutant: Mutant, verdicts: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> Outcome:
    failed = [verdict for verdict in verdicts if verdict.status in ("fail", "known")]
    places = [_place(verdict) for verdict in _in_order(failed, runs)]
    ratios = [v.error / v.budget for v in failed if v.error is not None and v.budget and v.error > v.budget]
    here = [(runs[name], _index(runs[name], mutant.name)) for name in mutant.fixtures]
    return Outcome(
        name=mutant.name, family=mutant.family, what=mutant.what, history=mutant.history, backend=mutant.backend,
        fixtures=list(mutant.fixtures), changed=all(_differs(run, index, mutant.backend) for run, index in here),
        caught_by=_caught_everywhere(mutant, failed), cells=len(failed),
        errors=[_cell(verdict) for verdict in verdicts if verdict.status == "error"], wanted=list(mutant.shows),
        named=next(iter(places), ""), localised=_is_localised(mutant, failed, places),
        largest=max(ratios, default=None), smallest=min(ratios, default=None),
        missed_by=[name for name, bound in TOLERANCES.items() if all(_largest(*each) <= bound for each in here)],
    )  # fmt: skip


def _caught_everywhere(mutant: Mutant, failed: Sequence[Verdict]) -> list[str]:
    """Checks that caught it; none where it got through on one of its fixtures."""
    if {verdict.checkpoint for verdict in failed} != set(mutant.fixtures):
        return []
    return list(dict.fromkeys(verdict.check for verdict in failed))


def _in_order(failed: Sequence[Verdict], runs: dict[str, CheckpointRun]) -> list[Verdict]:
    """As the cases were made, loading first; within one, those that name a place before those that do not."""
    order = {(name, case): place for name, run in runs.items() for place, case in enumerate(run.cases)}
    return sorted(failed, key=lambda v: (order[v.checkpoint, v.case], v.first_divergence is None))


def _place(verdict: Verdict) -> str:
    """What a failure names: a tensor or a parameter, of a generated text the case that asks for one thing."""
    if verdict.case.startswith("generate"):
        return verdict.case
    return verdict.first_divergence.tensor if verdict.first_divergence else verdict.case


def _is_localised(mutant: Mutant, failed: Sequence[Verdict], places: Sequence[str]) -> bool:
    """A fault of generation fails its own cases and no others; any other is first named where it was made."""
    if mutant.family == "generation":
        cases = {verdict.case for verdict in failed}
        return bool(cases) and all(any(fnmatchcase(case, known) for known in mutant.shows) for case in cases)
    return bool(places) and any(fnmatchcase(places[0], known) for known in mutant.shows)


def _index(run: CheckpointRun, name: str, backend: str | None = None) -> int:
    for index, subject in run.subjects("candidate"):
        if Variant.parse(subject.variant).mutant == name and backend in (None, subject.backend):
            return index
    raise LookupError(f"{name} was not asked about {run.checkpoint.name}")


def _differs(run: CheckpointRun, index: int, backend: str) -> bool:
    """Whether any answer is another than the unchanged one's, in any bit."""
    plain = _index(run, UNCHANGED, backend)
    return any(_told(run, index, case) != _told(run, plain, case) for case in run.cases if _told(run, plain, case))


def _told(run: CheckpointRun, index: int, case: str) -> Any:
    trace = run.trace(index, case)
    if trace is None:
        return None
    arrays = {name: (array.shape, array.tobytes()) for name, array in trace.arrays.items()}
    return arrays, trace.raised and trace.raised.message, str(trace.facts)


def _honest(run: CheckpointRun) -> float:
    return max(
        _largest(run, index) for index, s in run.subjects("candidate") if Variant.parse(s.variant).mutant == UNCHANGED
    )


def _largest(run: CheckpointRun, index: int) -> float:
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
        for tensor in OUTPUTS:
            if tensor in trace.arrays and tensor in oracle.arrays:
                worst = max(worst, _apart(trace.arrays[tensor], oracle.arrays[tensor], tensor))
    return worst


def _apart(actual: np.ndarray, expected: np.ndarray, tensor: str) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if tensor == "sequences":
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    same = np.isnan(actual) & np.isnan(expected)
    found = np.where(same, 0.0, np.abs(np.subtract(actual, expected, dtype=np.float64)))
    return float("inf") if np.isnan(found).any() else float(found.max(initial=0.0))
