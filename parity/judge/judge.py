"""Verdicts from traces: exactly one for every planned cell. Needs no framework and runs nothing but the checks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from parity.core.eligibility import Decision, NotAsked, Skip, eligibility
from parity.core.errors import InputError
from parity.core.records import (
    CaseRecord,
    CheckpointRecord,
    Cost,
    GeneratedRow,
    Manifest,
    MeasuredError,
    Report,
    Spent,
    Status,
    Totals,
    Verdict,
)
from parity.core.subject import FLAX, TORCH
from parity.core.trace import Raised, TraceError
from parity.core.version import __version__
from parity.judge import known_issues
from parity.judge.captured_run import CheckpointRun, NoPeer
from parity.judge.checks import CHECKS, Check
from parity.judge.evidence import Evidence
from parity.judge.known_issue_match import Explanation, Failure, explain
from parity.judge.measured import case_records, measured_errors
from parity.judge.oracle_disagreement import suspect_the_oracle
from parity.judge.results import Comparison, Finding, Result
from parity.judge.tables import generated_rows
from parity.judge.undefined_behaviour import PADDING_WRITTEN, cases_of_undefined_text
from parity.judge.unexplained import left_over
from parity.judge.user_known_issues import KnownIssue, read_known_issues
from parity.judge.value_diagnosis import notices_of_values
from parity.judge.verdicts import Cell, from_results, make_verdict

OF_LOADING = (
    "load",
    "load_as",
    "load_saved",
    "generation_settings",
    "signature",
    "save",
    "compose",
    "route",
)
"""Operations that compute nothing with the parameters that ``load`` brought."""


class NothingToJudge(InputError):
    """A selection of checks that names none."""


def judge(
    directory: Path,
    *,
    checks: Iterable[str] | None = None,
    strict: bool = False,
    known_issues: Path | None = None,
    on_checkpoint: Callable[[str, Totals], None] | None = None,
) -> Report:
    """Judges every planned cell of a run directory.

    Args:
        directory: what ``parity capture`` wrote; it is only read.
        checks: ids or groups to judge; by default those that the run was captured for, which are all unless it was
            captured for some.
        strict: known divergences of severity critical count as failures, and so do those that were carried over to a
            version that nobody measured.
        known_issues: a file of expected failures (``parity.judge.user_known_issues``).
        on_checkpoint: called with a checkpoint's name and totals as soon as all its cells are judged.

    Raises:
        RecordError: the manifest cannot be read.
        KnownIssuesError: the file of known issues cannot be used.
        NothingToJudge: a name in ``checks`` is neither an id nor a group, or the run was captured for others.
    """
    judging = Judge(checks, strict=strict, known_issues=known_issues)
    manifest, runs = CheckpointRun.open_all(directory)
    if captured_for := manifest.options.get("checks"):
        if not judging.names:
            judging = Judge(captured_for, strict=strict, known_issues=known_issues)
        elif not {each.id for each in judging.selected} <= {each.id for each in select_checks(captured_for)}:
            only = ", ".join(captured_for)
            raise NothingToJudge(f"{directory}: captured for {only} alone; audit again for other checks")
    for run in runs:
        totals = judging.take(run)
        if on_checkpoint is not None:
            on_checkpoint(run.checkpoint.name, totals)
    return judging.report(manifest)


@dataclass(frozen=True)
class JudgedCheckpoint:
    """What a report says of one checkpoint."""

    record: CheckpointRecord
    verdicts: list[Verdict]
    cases: list[CaseRecord]
    measured: list[MeasuredError]
    generated: list[GeneratedRow]


class Judge:
    """Judges checkpoints one by one, as they are captured or from a run directory, and sums them up in one report.

    Args:
        checks: ids or groups; none for every check.
        strict, known_issues: as for ``judge``.

    Raises:
        NothingToJudge: a name is neither an id nor a group.
    """

    def __init__(
        self, checks: Iterable[str] | None = None, *, strict: bool = False, known_issues: Path | None = None
    ) -> None:
        self.names = list(checks or ())
        self.selected = select_checks(self.names)
        self._strict, self._known_issues = strict, known_issues
        self._judged: dict[str, JudgedCheckpoint] = {}
        self._seconds = 0.0

    def take(self, run: CheckpointRun) -> Totals:
        """Judges every planned cell of one checkpoint.

        Raises:
            KnownIssuesError: the file of known issues cannot be used.
        """
        begun = time.perf_counter()
        issues: Sequence[KnownIssue] = ()
        if self._known_issues is not None:
            issues = read_known_issues(self._known_issues, [Path(run.checkpoint.path)])
            # The command that shows a cell again is told of them too.
            options = {**run.manifest.options, "known_issues": str(self._known_issues)}
            run.manifest = run.manifest.model_copy(update={"options": options})
        verdicts = verdicts_of(run, self.selected, self._strict, issues)
        self._judged[run.checkpoint.name] = JudgedCheckpoint(
            record=_noticed(run),
            verdicts=verdicts,
            cases=case_records(run),
            measured=list(measured_errors(run)),
            generated=list(generated_rows(run)),
        )
        self._seconds += time.perf_counter() - begun
        return _totals(verdicts)

    def report(self, manifest: Manifest, *, while_captured: bool = False) -> Report:
        """All that was judged, in the order of the manifest, each checkpoint of which was taken.

        Args:
            while_captured: each was judged while others were captured: the time that took is in the manifest's.
        """
        judged = [self._judged[checkpoint.name] for checkpoint in manifest.checkpoints]
        verdicts = [verdict for each in judged for verdict in each.verdicts]
        return Report(
            parity_version=__version__,
            command=manifest.command,
            started=manifest.started,
            checkpoints=[each.record for each in judged],
            unreadable=manifest.unreadable,
            not_run=manifest.not_run,
            tolerances=rests_on(manifest),
            environments=manifest.environments,
            subjects=manifest.subjects,
            verdicts=verdicts,
            totals=_totals(verdicts),
            strict=self._strict,
            selected=sorted(self.names),
            cases={each.record.name: each.cases for each in judged},
            measured=[row for each in judged for row in each.measured],
            generated=[row for each in judged for row in each.generated],
            cost=_cost(manifest, None if while_captured else self._seconds),
        )


def _totals(verdicts: Iterable[Verdict]) -> Totals:
    return Totals(**Counter(verdict.status for verdict in verdicts))


def _noticed(run: CheckpointRun) -> CheckpointRecord:
    """A checkpoint's record with what the run shows of its values (``parity.judge.value_diagnosis``)."""
    found = [each for each in notices_of_values(run) if each not in run.checkpoint.notices]
    return run.checkpoint.model_copy(update={"notices": [*run.checkpoint.notices, *found]})


def verdicts_of(
    run: CheckpointRun, checks: list[Check], strict: bool = False, issues: Sequence[KnownIssue] = ()
) -> list[Verdict]:
    """The verdict of every cell of one checkpoint's run."""
    undefined = set(cases_of_undefined_text(run))
    found = [
        make_verdict(cell, "skip", PADDING_WRITTEN) if cell.case.name in undefined else verdict_of(cell, strict, issues)
        for cell in planned_cells(run, checks)
    ]
    return suspect_the_oracle(run, found)


def select_checks(names: Iterable[str] | None) -> list[Check]:
    """Checks by id or group, in the order they were defined.

    Raises:
        NothingToJudge: a name is unknown; the message lists what there is.
    """
    wanted = set(names or ())
    groups = {check.group for check in CHECKS.values()}
    unknown = sorted(wanted - set(CHECKS) - groups)
    if unknown:
        known = ", ".join([*sorted(groups), *CHECKS])
        raise NothingToJudge(f"no check or group is called {', '.join(unknown)}; there are {known}")
    return [check for check in CHECKS.values() if not wanted or {check.id, check.group} & wanted]


def planned_cells(run: CheckpointRun, checks: list[Check]) -> Iterator[Cell]:
    """Every cell there is to judge, known before a single one is."""
    for check in checks:
        for index, subject in run.subjects(check.role):
            for name in _cases_of(run, check):
                if _has_coverage(run, check, name):
                    cell = Cell(run, check, run.cases[name], index, subject)
                    if not isinstance(_eligibility(cell), NotAsked):
                        yield cell


def _eligibility(cell: Cell) -> Decision:
    """Whether the subject was asked all that the check reads, from what the manifest says of it and the cases."""
    also = [cell.run.cases[name] for name in cell.check.also]
    return eligibility(cell.subject, cell.case, requires=cell.check.requires, also=also)


def _cases_of(run: CheckpointRun, check: Check) -> list[str]:
    """Names of the run's cases that a check is judged on, in the check's order; one with ``*`` stands for several."""
    return [name for asked in check.cases for name in run.cases if name == asked or fnmatchcase(name, asked)]


def _has_coverage(run: CheckpointRun, check: Check, case: str) -> bool:
    """Whether the checkpoint's class is asked the questions that a claim is about, and answers what it speaks of."""
    if not {case, *check.also} <= set(run.cases) or not check.applies(run.cases[case]):
        return False
    try:
        return not check.kinds or any(spec.kind in check.kinds for spec in run.specs(case))
    except (TraceError, OSError):
        # The oracle's trace names the tensors and cannot be read: the cell is planned, and an error.
        return True


def verdict_of(cell: Cell, strict: bool = False, issues: Sequence[KnownIssue] = ()) -> Verdict:
    """The one verdict of a cell, with the list of known issues, and then the user's known issues, taken into
    account."""
    decision = _eligibility(cell)
    if isinstance(decision, Skip):
        return make_verdict(cell, "skip", decision.reason)
    try:
        if empty := _without_values(cell):
            return _with_known_issues(cell, from_results(cell, empty), empty, strict, issues)
        blocked = _not_answered(cell)
        if blocked is not None:
            return _with_known_issues(cell, blocked, [], strict, issues)
        results = list(cell.check.function(Evidence(cell.run, cell.index, cell.subject, cell.case)))
        judged = _with_known_issues(cell, from_results(cell, results), [r for r in results if not r.ok], strict, issues)
        return _of_what_is_left(cell, judged, results)
    except NoPeer as error:
        return make_verdict(cell, "skip", str(error))
    except (TraceError, OSError) as error:
        return make_verdict(cell, "error", f"a trace cannot be read: {error}")
    except Exception as error:  # a bug in a check is our error, one cell's, and never the end of the run
        return make_verdict(cell, "error", f"the check itself failed: {type(error).__name__}: {error}")


def _of_what_is_left(cell: Cell, verdict: Verdict, results: list[Result]) -> Verdict:
    """A failure told by what is not known of it, where a known divergence is a part of it
    (``parity.judge.unexplained``)."""
    if verdict.status != "fail" or "known_issue" in verdict.evidence:
        return verdict
    first = verdict.first_divergence.tensor if verdict.first_divergence else None
    left, excused = left_over(cell, results, first)
    if not excused or all(result.ok for result in left):
        return verdict
    gone = {result.tensor for result in results} - {result.tensor for result in left}
    told = from_results(cell, left, frozenset(filter(None, gone)))
    return told.model_copy(update={"evidence": {**verdict.evidence, **told.evidence, "excused": excused}})


def _without_values(cell: Cell) -> list[Result]:
    """What is wrong with whatever a model computes that loading left without values: it has none, or raises, by which
    operation looks at them first."""
    if cell.case.about != "model" or cell.subject.role != "candidate" or cell.case.operation in OF_LOADING:
        return []
    load = cell.run.trace(cell.index, "load") if "load" in cell.run.cases else None
    absent = load.facts["report"]["not_materialised"] if load is not None and load.raised is None else []
    what = f"{len(absent)} parameters are on a meta device, and what has no values computes none"
    return [Finding(False, what)] if absent else []


def _not_answered(cell: Cell) -> Verdict | None:
    """The verdict of a cell whose traces hold no answer; None where all are there."""
    for name in (cell.case.name, *cell.check.also):
        record = cell.run.records.get((cell.index, name))
        if record is None:
            return make_verdict(cell, "error", f"{name} was planned and never captured")
        if record.outcome != "captured":
            status: Status = "fail" if record.outcome == "crash" else "error"
            # Which case met a file that had changed says nothing: whatever comes after meets it too.
            why = record.reason if record.outcome == "changed" else f"{record.outcome} in {name}: {record.reason}"
            return make_verdict(cell, status, why, outcome=record.outcome)
        raised = cell.run.captured(cell.index, name).raised
        if raised is not None and not cell.check.reads_raised:
            return _raised_verdict(cell, name, raised)
    if cell.check.needs_oracle:
        for name in (cell.case.name, *cell.check.also):
            if cell.run.oracle(name) is None:
                return _no_oracle(cell, name)
    return None


def _raised_verdict(cell: Cell, name: str, raised: Raised) -> Verdict:
    evidence = {"exception": raised.type, "message": raised.message, "frame": raised.frame, "phase": raised.phase}
    doing = "loading" if raised.phase == "load" else name
    return make_verdict(cell, "fail", f"{doing} raised {raised.type}: {raised.message} ({raised.frame})", **evidence)


def _no_oracle(cell: Cell, name: str) -> Verdict:
    """Without a truth nothing can be held against it: the checkpoint's fault, or, where the oracle broke, ours."""
    record = cell.run.records.get((cell.run.oracle_index, name))
    trace = cell.run.trace(cell.run.oracle_index, name)
    if trace is not None and trace.raised is not None:
        return make_verdict(cell, "fail", f"no truth to hold this against: {trace.raised.message}", oracle="raised")
    why = record.reason or record.outcome if record else "it was never asked"
    return make_verdict(cell, "error", f"the oracle has no answer to {name}: {why}")


def _with_known_issues(
    cell: Cell, verdict: Verdict, failed: list[Result], strict: bool, issues: Sequence[KnownIssue]
) -> Verdict:
    """``known`` where an entry says exactly this. That an entry speaks of a cell which passes is no failure of it: the
    project's own gate holds the list of known issues to what the baseline says
    (``parity.tools.gate.unseen_issues``)."""
    if verdict.status != "fail":
        return verdict
    versions = cell.run.manifest.environments[cell.subject.environment].get("versions", {})
    failure = Failure(
        cell.check.id,
        cell.case.name,
        cell.subject,
        cell.run.checkpoint,
        versions,
        verdict,
        failed,
        _follows(cell, failed),
    )
    found = explain(failure, known_issues.entries())
    if found is None or not found.measured:
        # What somebody expects by name goes before what only resembles an entry.
        for issue in issues:
            if issue.covers(*failure.cell, versions) and issue.explains(verdict, failed, cell.run.config):
                return issue.judged(verdict, strict)
    return verdict if found is None else _known(verdict, found, strict)


def _known(verdict: Verdict, found: Explanation, strict: bool) -> Verdict:
    """The verdict of a cell that an entry explains, or that resembles one."""
    entry = found.entry
    if found.but:
        reason = f"resembles {entry.id}, {found.carried_over}, but {found.but}: {verdict.reason}"
        evidence = {**verdict.evidence, "resembles": entry.id, "but": found.but}
        return verdict.model_copy(update={"reason": reason, "evidence": evidence})
    # What was carried over is a guess, however good: nobody measured this version.
    failing = strict and (entry.severity == "critical" or found.carried_over)
    evidence = {**verdict.evidence, "known_issue": entry.id, "severity": entry.severity}
    told = verdict.reason
    if found.carried_over:
        evidence["carried_over"] = found.carried_over
        told = f"carried over, {found.carried_over}: {told}"
    reason = f"{entry.id}: {entry.cause} [{told}]"
    return verdict.model_copy(update={"status": "fail" if failing else "known", "reason": reason, "evidence": evidence})


def _follows(cell: Cell, failed: list[Result]) -> frozenset[str]:
    """Tensors out of tolerance, some input of which is out of tolerance too."""
    if not any(isinstance(result, Comparison) and result.against_oracle for result in failed):
        return frozenset()
    seen = Evidence(cell.run, cell.index, cell.subject, cell.case).against_oracle()
    wrong = {result.tensor for result in seen if not result.ok}
    return frozenset(
        spec.name for spec in cell.run.specs(cell.case.name) if spec.name in wrong and wrong & set(spec.inputs)
    )


def rests_on(manifest: Manifest) -> str:
    """What the tolerances of a run rest on: which references measured the error that its precision makes."""
    references = {subject.backend for subject in manifest.subjects if subject.role == "noise_floor"}
    orders = {subject.variant for subject in manifest.subjects if subject.role == "noise_floor"}
    if not references:
        return "no reference computed anything: only what is compared exactly was judged"
    if references == {TORCH, FLAX}:
        return "the errors of both references (PyTorch and Flax), and the factors calibrated for the two together"
    (alone,) = references
    missing = "jax and flax" if alone == TORCH else "torch"
    return (
        f"the errors of {alone} alone, its sums taken in {len(orders)} ways, and the larger factors calibrated for one "
        f"reference: {missing} not installed (pip install {missing.replace(' and ', ' ')} makes them tighter, and the "
        "references themselves are judged)"
    )


def _cost(manifest: Manifest, after: float | None) -> Cost:
    """What is not a backend's own work: planning, bringing traces to disk and back, judging.

    Args:
        after: seconds of judging that came after the capture; None where its phases hold them.
    """
    phases = {**manifest.seconds, **({} if after is None else {"judge": after})}
    wall = sum(phases.values())
    backends = manifest.seconds.get("backends", 0.0)
    cached = sum(record.cached for record in manifest.traces)
    return Cost(
        wall_seconds=wall,
        backend_seconds=backends,
        judge_seconds=phases.get("judge", 0.0),
        trace_io_seconds=sum(record.io_seconds for record in manifest.traces if not record.cached),
        own_share=1 - backends / wall if wall else 0.0,
        peak_memory=manifest.peak_memory,
        traces_cached=cached,
        traces_captured=len(manifest.traces) - cached,
        spent=_spent(manifest),
    )


def _spent(manifest: Manifest) -> list[Spent]:
    """Seconds by subject and operation; each load apart from the case that it was made for."""
    operations = {
        (checkpoint, case["name"]): case["operation"] for checkpoint, cases in manifest.cases.items() for case in cases
    }
    found: dict[tuple[str, str], Spent] = {}

    def add(subject: str, work: str, seconds: float, io_seconds: float = 0.0) -> None:
        before = found.get((subject, work), Spent(subject=subject, work=work, traces=0, seconds=0.0, io_seconds=0.0))
        found[subject, work] = Spent(
            subject=subject,
            work=work,
            traces=before.traces + 1,
            seconds=before.seconds + seconds,
            io_seconds=before.io_seconds + io_seconds,
        )

    for record in manifest.traces:
        # A trace that two subjects share has its seconds with the first of them.
        if record.cached or not record.seconds + record.io_seconds:
            continue
        subject = manifest.subjects[record.subject]
        name = subject.label if subject.dtype == "float32" else f"{subject.label} {subject.dtype}"
        add(name, operations[record.checkpoint, record.case], record.seconds - record.load_seconds, record.io_seconds)
        if record.load_seconds:
            add(name, "load", record.load_seconds)
    return sorted(found.values(), key=lambda each: -each.seconds - each.io_seconds)
