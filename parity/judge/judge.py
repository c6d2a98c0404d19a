"""Judges traces: exactly one verdict for every planned cell. Needs no framework and runs only the checks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from pathlib import Path

from parity.core.eligibility import Decision, NotApplicable, Skip, eligibility
from parity.core.errors import InputError
from parity.core.nearest import unknown
from parity.core.records import (
    STOPPED,
    CaseRecord,
    CheckpointRecord,
    Cost,
    GeneratedRow,
    Manifest,
    MeasuredError,
    Report,
    Rounding,
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
from parity.judge.keywords import Keywords
from parity.judge.known_issue_match import Explanation, Failure, explain
from parity.judge.measured import case_records, measured_errors
from parity.judge.oracle_disagreement import flag_oracle
from parity.judge.results import Comparison, Finding, Result
from parity.judge.rounding import rounding_of
from parity.judge.tables import generated_rows
from parity.judge.undefined_behaviour import PADDING_WRITTEN, cases_of_undefined_text
from parity.judge.unexplained import left_over
from parity.judge.user_known_issues import KnownIssue, read_known_issues
from parity.judge.value_diagnosis import notices_of_values
from parity.judge.verdicts import Cell, from_results, make_verdict, without_verdict

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
"""Operations that do not compute with the loaded parameters."""


class NothingToJudge(InputError):
    """The selection of checks is invalid; the message lists the valid names."""


@dataclass(frozen=True)
class Selection:
    """What of a run is judged, besides the checks."""

    keywords: Keywords | None = None
    """Only the cells that it holds of."""
    exit_first: bool = False
    """Judge no more after the first check that fails."""


def judge(
    directory: Path,
    *,
    checks: Iterable[str] | None = None,
    strict: bool = False,
    known_issues: Path | None = None,
    keywords: str = "",
    exit_first: bool = False,
    on_checkpoint: Callable[[str, Totals], None] | None = None,
) -> Report:
    """Judges every planned cell of a run directory.

    Args:
        directory: a run directory written by ``parity capture``; read only.
        checks: ids or groups to judge; by default the checks that the run was captured for.
        strict: known issues of severity critical, and those carried over to an unmeasured version, are failures.
        known_issues: a file of the user's expected failures (``parity.judge.user_known_issues``).
        keywords: an expression that selects cells (``parity.judge.keywords``); by default that of the capture.
        exit_first: stop at the first check that fails.
        on_checkpoint: called with a checkpoint's name and totals when all its cells are judged.

    Raises:
        RecordError: the manifest cannot be read.
        KnownIssuesError: the file of known issues cannot be used.
        NothingToJudge: a name in ``checks`` is neither an id nor a group, or the run was captured for other checks.
    """
    make = partial(Judge, strict=strict, known_issues=known_issues, exit_first=exit_first)
    judging = make(checks, keywords=keywords)
    manifest, runs = CheckpointRun.open_all(directory)
    keywords = keywords or str(manifest.options.get("keywords") or "")
    judging = make(checks, keywords=keywords)
    if captured_for := manifest.options.get("checks"):
        if not judging.names:
            judging = make(captured_for, keywords=keywords)
        elif not {each.id for each in judging.selected} <= {each.id for each in select_checks(captured_for)}:
            only = ", ".join(captured_for)
            raise NothingToJudge(f"{directory}: captured for {only} only; repeat the audit for other checks")
    for run in runs:
        totals = judging.take(run)
        if on_checkpoint is not None:
            on_checkpoint(run.checkpoint.name, totals)
        if judging.stopped:
            break
    return judging.report(manifest)


@dataclass(frozen=True)
class JudgedCheckpoint:
    """The judged part of a report for one checkpoint."""

    record: CheckpointRecord
    verdicts: list[Verdict]
    cases: list[CaseRecord]
    measured: list[MeasuredError]
    generated: list[GeneratedRow]
    rounding: list[Rounding]
    not_judged: list[str]
    """A line on what the judge stopped before."""


class Judge:
    """Judges checkpoints one by one, during the capture or from a run directory, and builds one report.

    Args:
        checks: ids or groups; none for every check.
        strict, known_issues, keywords, exit_first: as for ``judge``.

    Raises:
        NothingToJudge: a name is neither an id nor a group.
        KeywordError: ``keywords`` is no expression.
    """

    def __init__(
        self,
        checks: Iterable[str] | None = None,
        *,
        strict: bool = False,
        known_issues: Path | None = None,
        keywords: str = "",
        exit_first: bool = False,
    ) -> None:
        self.names = list(checks or ())
        self.selected = select_checks(self.names)
        self._strict, self._known_issues = strict, known_issues
        self._judged: dict[str, JudgedCheckpoint] = {}
        self._seconds = 0.0
        self._selection = Selection(Keywords(keywords) if keywords else None, exit_first)

    @property
    def stopped(self) -> bool:
        """Whether no more is to be judged: a check failed, and ``exit_first`` was given."""
        failed = (v.status in ("fail", "error") for each in self._judged.values() for v in each.verdicts)
        return self._selection.exit_first and any(failed)

    def take(self, run: CheckpointRun) -> Totals:
        """Judges every planned cell of one checkpoint.

        Raises:
            KnownIssuesError: the file of known issues cannot be used.
        """
        begun = time.perf_counter()
        issues: Sequence[KnownIssue] = ()
        if self._known_issues is not None:
            issues = read_known_issues(self._known_issues, [Path(run.checkpoint.path)])
            # The command that reproduces a cell needs the same file.
            options = {**run.manifest.options, "known_issues": str(self._known_issues)}
            run.manifest = run.manifest.model_copy(update={"options": options})
        verdicts, not_judged = judged_cells(run, self.selected, self._strict, issues, self._selection)
        measured = list(measured_errors(run))  # what the verdicts needed, and not what the texts need
        texts = list(generated_rows(run))
        self._judged[run.checkpoint.name] = JudgedCheckpoint(
            record=_noticed(run),
            verdicts=verdicts,
            cases=case_records(run),
            measured=measured,
            generated=texts,
            rounding=rounding_of(run, verdicts, texts),
            not_judged=not_judged,
        )
        self._seconds += time.perf_counter() - begun
        return _totals(verdicts)

    def report(self, manifest: Manifest, *, while_captured: bool = False) -> Report:
        """The report, in the order of the manifest; what was not judged is recorded as not run.

        Args:
            while_captured: checkpoints were judged during the capture, so the manifest's times include judging.
        """
        names = [checkpoint.name for checkpoint in manifest.checkpoints]
        judged = [self._judged[name] for name in names if name in self._judged]
        not_judged = [line for each in judged for line in each.not_judged]
        not_judged += [f"{name}: not judged: {STOPPED}" for name in names if name not in self._judged]
        keywords = self._selection.keywords
        verdicts = [verdict for each in judged for verdict in each.verdicts]
        return Report(
            parity_version=__version__,
            command=manifest.command,
            started=manifest.started,
            checkpoints=[each.record for each in judged],
            unreadable=manifest.unreadable,
            not_run=[*manifest.not_run, *not_judged],
            tolerances=rests_on(manifest),
            environments=manifest.environments,
            subjects=manifest.subjects,
            verdicts=verdicts,
            totals=_totals(verdicts),
            strict=self._strict,
            selected=[*sorted(self.names), *([f"-k {keywords.text}"] if keywords else [])],
            cases={each.record.name: each.cases for each in judged},
            measured=[row for each in judged for row in each.measured],
            generated=[row for each in judged for row in each.generated],
            rounding=[row for each in judged for row in each.rounding],
            cost=_cost(manifest, None if while_captured else self._seconds),
        )


def _totals(verdicts: Iterable[Verdict]) -> Totals:
    return Totals(**Counter(verdict.status for verdict in verdicts))


def _noticed(run: CheckpointRun) -> CheckpointRecord:
    """A checkpoint's record with notices about its values (``parity.judge.value_diagnosis``)."""
    found = [each for each in notices_of_values(run) if each not in run.checkpoint.notices]
    return run.checkpoint.model_copy(update={"notices": [*run.checkpoint.notices, *found]})


def verdicts_of(
    run: CheckpointRun, checks: list[Check], strict: bool = False, issues: Sequence[KnownIssue] = ()
) -> list[Verdict]:
    """The verdict of every cell of one checkpoint's run."""
    return judged_cells(run, checks, strict, issues, Selection())[0]


def judged_cells(
    run: CheckpointRun, checks: list[Check], strict: bool, issues: Sequence[KnownIssue], selection: Selection
) -> tuple[list[Verdict], list[str]]:
    """The verdicts of the selected cells of one checkpoint's run, and a line on what the judge stopped before."""
    undefined = set(cases_of_undefined_text(run))
    found: list[Verdict] = []
    by_check = groupby(_chosen(planned_cells(run, checks), selection), key=lambda cell: cell.check)
    for check, cells in by_check:
        made = [
            make_verdict(cell, "skip", PADDING_WRITTEN)
            if cell.case.name in undefined
            else verdict_of(cell, strict, issues)
            for cell in cells
        ]
        found += made
        if selection.exit_first and any(verdict.status in ("fail", "error") for verdict in made):
            left = [cell.check.id for _, cells in by_check for cell in cells]
            count = len(dict.fromkeys(left))
            of_checks = f"{count} check{'' if count == 1 else 's'}"
            of_cells = f"{len(left)} cell{'' if len(left) == 1 else 's'}"
            what = f"{of_checks} ({of_cells}) after {check.id} not judged: {STOPPED}"
            return flag_oracle(run, found), [f"{run.checkpoint.name}: {what}"] if left else []
    return flag_oracle(run, found), []


def _chosen(cells: Iterable[Cell], selection: Selection) -> Iterator[Cell]:
    words = selection.keywords
    return (cell for cell in cells if words is None or words.takes(cell.check, cell.case, cell.subject))


def select_checks(names: Iterable[str] | None) -> list[Check]:
    """Selects checks by id or group, in the order of their definition; all without names.

    Raises:
        NothingToJudge: a name is unknown; the message has the nearest name, or lists the valid names.
    """
    wanted = set(names or ())
    groups = {check.group for check in CHECKS.values()}
    if missing := sorted(wanted - set(CHECKS) - groups):
        raise NothingToJudge(unknown("no check or group is called", missing[0], [*sorted(groups), *CHECKS]))
    return [check for check in CHECKS.values() if not wanted or {check.id, check.group} & wanted]


def planned_cells(run: CheckpointRun, checks: list[Check]) -> Iterator[Cell]:
    """Yields every cell to judge, before any is judged."""
    for check in checks:
        for index, subject in run.subjects(check.role):
            for name in _cases_of(run, check):
                if _has_coverage(run, check, name):
                    cell = Cell(run, check, run.cases[name], index, subject)
                    if not isinstance(_eligibility(cell), NotApplicable):
                        yield cell


def _eligibility(cell: Cell) -> Decision:
    """Whether the subject ran all cases that the check reads, according to the manifest."""
    depends_on = [cell.run.cases[name] for name in cell.check.depends_on]
    return eligibility(cell.subject, cell.case, requires=cell.check.requires, depends_on=depends_on)


def _cases_of(run: CheckpointRun, check: Check) -> list[str]:
    """Names of the run's cases that a check is judged on, in the check's order; ``*`` matches several."""
    return [name for pattern in check.cases for name in run.cases if name == pattern or fnmatchcase(name, pattern)]


def _has_coverage(run: CheckpointRun, check: Check, case: str) -> bool:
    """Whether the run has the cases of a claim for the checkpoint's class, with tensors of the claim's kinds."""
    if not {case, *check.depends_on} <= set(run.cases) or not check.applies(run.cases[case]):
        return False
    try:
        return not check.kinds or any(spec.kind in check.kinds for spec in run.specs(case))
    except (TraceError, OSError):
        # The oracle's trace, which lists the tensors, cannot be read: the cell is planned and becomes an error.
        return True


def verdict_of(cell: Cell, strict: bool = False, issues: Sequence[KnownIssue] = ()) -> Verdict:
    """The verdict of a cell, after matching the list of known issues and then the user's known issues."""
    decision = _eligibility(cell)
    if isinstance(decision, Skip):
        return make_verdict(cell, "skip", decision.reason)
    try:
        if missing := _without_values(cell):
            return _with_known_issues(cell, from_results(cell, missing), missing, strict, issues)
        blocked = _without_traces(cell)
        if blocked is not None:
            return _with_known_issues(cell, blocked, [], strict, issues)
        results = list(cell.check.function(Evidence(cell.run, cell.index, cell.subject, cell.case)))
        if cell.subject.unjudged:
            return without_verdict(cell, results)
        judged = _with_known_issues(cell, from_results(cell, results), [r for r in results if not r.ok], strict, issues)
        return _unexplained_part(cell, judged, results)
    except NoPeer as error:
        return make_verdict(cell, "skip", str(error))
    except (TraceError, OSError) as error:
        return make_verdict(cell, "error", f"a trace cannot be read: {error}")
    except Exception as error:  # a bug in a check is an error of one cell and must not end the run
        return make_verdict(cell, "error", f"the check itself failed: {type(error).__name__}: {error}")


def _unexplained_part(cell: Cell, verdict: Verdict, results: list[Result]) -> Verdict:
    """Restates a failure by its unexplained results, if a known issue explains the others
    (``parity.judge.unexplained``)."""
    if verdict.status != "fail" or "known_issue" in verdict.evidence:
        return verdict
    first = verdict.first_divergence.tensor if verdict.first_divergence else None
    left, excused = left_over(cell, results, first)
    if not excused or all(result.ok for result in left):
        return verdict
    gone = {result.tensor for result in results} - {result.tensor for result in left}
    rest = from_results(cell, left, frozenset(filter(None, gone)))
    return rest.model_copy(update={"evidence": {**verdict.evidence, **rest.evidence, "excused": excused}})


def _without_values(cell: Cell) -> list[Result]:
    """A finding if loading left parameters without values. Whether such a model raises or returns tensors without
    values
    depends on the operation, so all cells have the same finding."""
    if cell.case.component != "model" or cell.subject.role != "candidate" or cell.case.operation in OF_LOADING:
        return []
    load = cell.run.trace(cell.index, "load") if "load" in cell.run.cases else None
    absent = load.facts["report"]["not_materialised"] if load is not None and load.raised is None else []
    what = f"{len(absent)} parameters are on a meta device and have no values"
    return [Finding(False, what)] if absent else []


def _without_traces(cell: Cell) -> Verdict | None:
    """The verdict of a cell with missing traces or traces that raised; None if all are complete."""
    for name in (cell.case.name, *cell.check.depends_on):
        record = cell.run.records.get((cell.index, name))
        if record is None:
            return make_verdict(cell, "error", f"{name} was planned, but not captured")
        if record.outcome != "captured":
            status: Status = "fail" if record.outcome == "crash" else "error"
            # The name of the case is irrelevant if a file changed: all later cases are affected too.
            why = record.reason if record.outcome == "changed" else f"{record.outcome} in {name}: {record.reason}"
            return make_verdict(cell, status, why, outcome=record.outcome)
        raised = cell.run.captured(cell.index, name).raised
        if raised is not None and not cell.check.handles_exceptions:
            return _raised_verdict(cell, name, raised)
    if cell.check.needs_oracle:
        for name in (cell.case.name, *cell.check.depends_on):
            if cell.run.oracle(name) is None:
                return _no_oracle(cell, name)
    return None


def _raised_verdict(cell: Cell, name: str, raised: Raised) -> Verdict:
    evidence = {"exception": raised.type, "message": raised.message, "frame": raised.frame, "phase": raised.phase}
    doing = "loading" if raised.phase == "load" else name
    return make_verdict(cell, "fail", f"{doing} raised {raised.type}: {raised.message} ({raised.frame})", **evidence)


def _no_oracle(cell: Cell, name: str) -> Verdict:
    """The verdict without an expected output: a failure if the oracle rejects the checkpoint, otherwise an error."""
    record = cell.run.records.get((cell.run.oracle_index, name))
    trace = cell.run.trace(cell.run.oracle_index, name)
    if trace is not None and trace.raised is not None:
        return make_verdict(
            cell, "fail", f"the oracle raised, so there is no expected output: {trace.raised.message}", oracle="raised"
        )
    why = record.reason or record.outcome if record else "it was not run"
    return make_verdict(cell, "error", f"the oracle has no output for {name}: {why}")


def _with_known_issues(
    cell: Cell, verdict: Verdict, failed: list[Result], strict: bool, issues: Sequence[KnownIssue]
) -> Verdict:
    """Turns a failure into ``known`` if an entry explains it exactly.

    A passing cell that an entry covers is not a failure here; the project's own gate compares the list of known issues
    with the baseline (``parity.tools.gate.unseen_issues``).
    """
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
        # A user's known issue takes precedence over an entry that was not measured at this version.
        for issue in issues:
            if issue.covers(*failure.cell, versions) and issue.explains(verdict, failed, cell.run.config):
                return issue.judged(verdict, strict)
    return verdict if found is None else _known(verdict, found, strict)


def _known(verdict: Verdict, found: Explanation, strict: bool) -> Verdict:
    """The verdict of a failure that an entry explains or resembles."""
    entry = found.entry
    if found.but:
        reason = f"resembles {entry.id}, {found.carried_over}, but {found.but}: {verdict.reason}"
        evidence = {**verdict.evidence, "resembles": entry.id, "but": found.but}
        return verdict.model_copy(update={"reason": reason, "evidence": evidence})
    # A carried-over entry was not measured at this version.
    failing = strict and (entry.severity == "critical" or found.carried_over)
    evidence = {**verdict.evidence, "known_issue": entry.id, "severity": entry.severity}
    finding = verdict.reason
    if found.carried_over:
        evidence["carried_over"] = found.carried_over
        finding = f"carried over, {found.carried_over}: {finding}"
    reason = f"{entry.id}: {entry.cause} [{finding}]"
    return verdict.model_copy(update={"status": "fail" if failing else "known", "reason": reason, "evidence": evidence})


def _follows(cell: Cell, failed: list[Result]) -> frozenset[str]:
    """Tensors out of tolerance with at least one input that is out of tolerance too."""
    if not any(isinstance(result, Comparison) and result.against_oracle for result in failed):
        return frozenset()
    compared = Evidence(cell.run, cell.index, cell.subject, cell.case).against_oracle()
    wrong = {result.tensor for result in compared if not result.ok}
    return frozenset(
        spec.name for spec in cell.run.specs(cell.case.name) if spec.name in wrong and wrong & set(spec.inputs)
    )


def rests_on(manifest: Manifest) -> str:
    """The basis of a run's tolerances as text: the references whose errors were measured."""
    references = {subject.backend for subject in manifest.subjects if subject.role == "noise_floor"}
    orders = {subject.variant for subject in manifest.subjects if subject.role == "noise_floor"}
    if not references:
        return "no reference was run: only exact comparisons were judged"
    if references == {TORCH, FLAX}:
        return "the errors of both references (PyTorch and Flax), with the factors calibrated for both"
    (alone,) = references
    text = (
        f"the errors of {alone} alone in {len(orders)} orders of summation, with the larger factors calibrated for one "
        "reference: "
    )
    if manifest.options.get("references"):
        return text + "no other was selected (both together give tighter tolerances and judge each other)"
    missing = "jax and flax" if alone == TORCH else "torch"
    return text + (
        f"{missing} not installed (pip install {missing.replace(' and ', ' ')} gives tighter tolerances and "
        "judges the references themselves)"
    )


def _cost(manifest: Manifest, after: float | None) -> Cost:
    """The cost of a run: wall time, and the share that is not a backend's own work (start, planning, traces, judging).

    Args:
        after: seconds of judging after the capture; None if the manifest's phases include them.
    """
    phases = {**manifest.seconds, **({} if after is None else {"judge": after})}
    wall = sum(phases.values())
    backends = manifest.seconds.get("backends", 0.0)
    cached = sum(record.cached for record in manifest.traces)
    return Cost(
        wall_seconds=wall,
        start_seconds=manifest.seconds.get("start", 0.0),
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
    """Seconds by subject and operation, loads separately."""
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
        # The seconds of a trace that two subjects share count for the first of them.
        if record.cached or not record.seconds + record.io_seconds:
            continue
        subject = manifest.subjects[record.subject]
        name = subject.label if subject.dtype == "float32" else f"{subject.label} {subject.dtype}"
        add(name, operations[record.checkpoint, record.case], record.seconds - record.load_seconds, record.io_seconds)
        if record.load_seconds:
            add(name, "load", record.load_seconds)
    return sorted(found.values(), key=lambda each: -each.seconds - each.io_seconds)
