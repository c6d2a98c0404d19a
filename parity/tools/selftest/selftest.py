"""Measures how well the checks detect faults: every mutant is captured and judged like any other candidate.

The unmodified variant is judged on the same cells; if it does not pass, the selftest is invalid.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from parity.backends.mutants import GROUPS, MUTANTS, UNCHANGED, Mutant
from parity.core.backends import BACKENDS, audited
from parity.core.nearest import nearest
from parity.core.records import Verdict
from parity.core.resources import fixture
from parity.core.subject import Subject, Variant
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.tools.selftest.outcome import Outcome, cell, largest, of_mutants, outcome
from parity.tools.selftest.thresholds import Thresholds, thresholds

if TYPE_CHECKING:
    from parity.capture.task import Event

Progress = Callable[["Event"], None]


class Selftest(BaseModel):
    """A selftest, as ``--json`` prints it."""

    model_config = ConfigDict(frozen=True)
    command: str
    seconds: float
    sound: list[str]
    """Failures of the unmodified variants; if there are any, the selftest is invalid."""
    original: dict[str, float]
    """By fixture, the largest absolute difference of the unmodified variant's outputs from the oracle."""
    outcomes: list[Outcome]
    catches: dict[str, int]
    """By check, the number of mutants that it caught."""
    covers: dict[str, int]
    """By backend, the number of checks of its component that caught a mutant."""
    unneeded: list[str]
    """Checks that are not the only one to catch any mutant."""
    without_mutants: list[str]
    """Checks that judged no mutant."""
    below: list[str]
    """Results below the thresholds, and outdated entries of the thresholds."""

    @property
    def passed(self) -> bool:
        return not (self.sound or self.below)


def selftest(
    names: Sequence[str] | None = None,
    *,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Selftest:
    """Captures and judges mutants on small fixtures.

    Args:
        names: mutants or mutant families; all by default.
        cache: the trace cache; by default in the user's cache directory.
        jobs: the number of worker processes.

    Raises:
        NothingToJudge: a mutant or family is unknown.
        CaptureError: nothing could be captured.
    """
    from parity.judge.judge import judge

    began, chosen = time.monotonic(), select(names)
    verdicts: list[Verdict] = []
    runs: dict[str, CheckpointRun] = {}
    with tempfile.TemporaryDirectory(prefix="parity-selftest-") as folder:
        for number, fixtures in enumerate(_rounds(chosen)):
            out = Path(folder) / str(number)
            _capture(chosen, fixtures, out, cache, jobs, progress)
            verdicts += judge(out).verdicts
            runs |= {run.checkpoint.name: run for run in CheckpointRun.open_all(out)[1]}
        return _summed_up(names, chosen, of_mutants(verdicts), runs, began)


def select(names: Sequence[str] | None) -> list[Mutant]:
    """Selects mutants by name or family, ordered by family.

    Raises:
        NothingToJudge: a name is unknown.
    """
    from parity.judge.judge import NothingToJudge

    unknown = sorted(set(names or ()) - set(MUTANTS) - set(GROUPS))
    if unknown:
        close = nearest(unknown[0], [*GROUPS, *MUTANTS])
        hint = f"did you mean {close}" if close else f"families are {', '.join(GROUPS)}"
        known = f"{hint}; parity selftest --list names every mutant"
        raise NothingToJudge(f"no mutant or family is called {', '.join(unknown)}; {known}")
    found = [mutant for mutant in MUTANTS.values() if not names or {mutant.name, mutant.group} & set(names)]
    return sorted(found, key=lambda mutant: GROUPS.index(mutant.group))


def _rounds(chosen: Sequence[Mutant]) -> list[list[str]]:
    """Groups of fixtures that are captured together: one for each class, because subjects are assigned by class."""
    from parity.checkpoint.inspection import inspect_checkpoint

    rounds: list[dict[tuple[str, tuple[str, ...]], str]] = []
    for name in dict.fromkeys(name for mutant in chosen for name in mutant.fixtures):
        kind = inspect_checkpoint(fixture(name)).model_spec.kind
        free = next((each for each in rounds if kind not in each), None)
        if free is None:
            rounds.append(free := {})
        free[kind] = name
    return [list(each.values()) for each in rounds]


def _capture(
    chosen: Sequence[Mutant],
    fixtures: Sequence[str],
    out: Path,
    cache: Path | None,
    jobs: int | None,
    progress: Progress | None,
) -> None:
    from parity.capture.pipeline import capture
    from parity.core.options import AuditOptions
    from parity.judge.followup.cases import DERIVED, layers

    capture(
        [fixture(name) for name in fixtures],
        AuditOptions(out=out, cache=cache, jobs=jobs),
        derive=(*DERIVED, layers),
        progress=progress,
        candidates={name: list(_subjects(name, chosen)) for name in fixtures},
    )


def _subjects(name: str, chosen: Sequence[Mutant]) -> Iterator[Subject]:
    """The subjects of a fixture: each host unmodified, then its mutants."""
    here = [mutant for mutant in chosen if name in mutant.fixtures]
    for host in dict.fromkeys(mutant.backend for mutant in here):
        for fault in [UNCHANGED, *(mutant.name for mutant in here if mutant.backend == host)]:
            yield Subject(host, str(Variant(mutant=fault)))


def _summed_up(
    names: Sequence[str] | None,
    chosen: Sequence[Mutant],
    verdicts: dict[str, list[Verdict]],
    runs: dict[str, CheckpointRun],
    began: float,
) -> Selftest:
    outcomes = [outcome(mutant, verdicts[mutant.name], runs) for mutant in chosen]
    judged = dict.fromkeys(v.check for m in chosen for v in verdicts[m.name] if v.status != "skip")
    counts = Counter(check for each in outcomes for check in each.caught_by)
    alone = {each.caught_by[0] for each in outcomes if len(each.caught_by) == 1}
    return Selftest(
        command=" ".join(["parity selftest", *(names or ())]),
        seconds=time.monotonic() - began,
        sound=[cell(v) for v in verdicts[UNCHANGED] if v.status not in ("pass", "skip")],
        original={name: found for name, run in runs.items() if (found := _original(run)) is not None},
        outcomes=outcomes,
        catches={check: counts[check] for check in judged},
        covers=coverage(outcomes),
        unneeded=[check for check in judged if check not in alone],
        without_mutants=[check for check in CHECKS if check not in judged],
        below=list(below(outcomes, counts, judged)),
    )


def coverage(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """By backend, the number of checks that caught a mutant of its component."""
    caught: dict[str, set[str]] = {}
    for each in outcomes:
        caught.setdefault(each.component, set()).update(each.caught_by)
    return {name: len(caught.get(BACKENDS[name].component, ())) for name in audited()}


def _original(run: CheckpointRun) -> float | None:
    models = [(index, subject) for index, subject in run.subjects("candidate") if subject.component == "model"]
    unchanged = [index for index, subject in models if Variant.parse(subject.variant).mutant == UNCHANGED]
    return max((largest(run, index) for index in unchanged), default=None)


def below(outcomes: Sequence[Outcome], counts: Counter[str], judged: Collection[str]) -> Iterator[str]:
    """Results below the thresholds: for each mutant, each complete family, and, if all mutants were run, each check.

    Args:
        counts: by check, the number of mutants it caught.
        judged: checks that judged any mutant.
    """
    held, tested = thresholds(), {each.name for each in outcomes}
    for each in outcomes:
        yield from _short_of(each, held.not_caught, held.not_localised)
    whole = {m.group for m in MUTANTS.values()} - {m.group for m in MUTANTS.values() if m.name not in tested}
    for group in sorted(whole):
        caught = sum(bool(each.caught_by) for each in outcomes if each.family == group)
        if caught < held.families.get(group, 0):
            yield f"{group}: {caught} mutants caught, the threshold is {held.families[group]}"
    if tested == set(MUTANTS):
        yield from _checks_below(counts, judged, held)
        share = sum(each.localised for each in outcomes) / len(outcomes)
        if share < held.localised:
            yield f"{share:.1%} of mutants have the expected first divergence, the threshold is {held.localised:.0%}"


def _checks_below(counts: Counter[str], judged: Collection[str], held: Thresholds) -> Iterator[str]:
    for check, least in held.checks.items():
        if counts[check] < least:
            yield f"{check}: it catches {counts[check]} mutants, the threshold is {least}"
    for check in judged:
        if check not in held.checks:
            yield f"{check}: it is run on mutants, but has no threshold"


def _short_of(each: Outcome, not_caught: dict[str, str], not_localised: dict[str, str]) -> Iterator[str]:
    if not each.changed:
        yield f"{each.name}: no effect on at least one of {', '.join(each.fixtures)}"
    yield from (f"{each.name}: {error}" for error in each.errors)
    if not each.caught_by and each.name not in not_caught:
        yield f"{each.name}: not caught ({each.what})"
    if each.caught_by and each.name in not_caught:
        yield f"{each.name}: caught, but listed under not_caught"
    if each.caught_by and not each.localised and each.name not in not_localised:
        yield f"{each.name}: first divergence at {each.named}, expected at {', '.join(each.wanted)}"
    if each.localised and each.name in not_localised:
        yield f"{each.name}: has the expected first divergence, but is listed under not_localised"
