"""Two sides compared tensor by tensor, in data-flow order: checkpoints, versions, devices, dtypes, backends or runs.

A side is ``WHAT[::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]]``: a run directory, or a checkpoint, which is captured
first, and optionally one subject of it. Two conforming answers are each within a tolerance of the oracle, so that they
differ by at most the sum of both tolerances; an error is reported as a share of that sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from parity.core.case import Case
from parity.core.display import printable
from parity.core.records import SubjectRecord
from parity.judge.captured_run import CheckpointRun
from parity.tools.compare.selector import CompareError, Operand
from parity.tools.compare.tensor_diff import TensorRow, tensor_rows
from parity.tools.gate.baseline import rows_of
from parity.tools.gate.gate import Change, changes
from parity.tools.gate.report_digest import ReportDigest, read_digest, versions_of


@dataclass(frozen=True, repr=False)
class Compared:
    """One case of one checkpoint, with the tensors of two subjects."""

    checkpoint: str
    subjects: tuple[str, str]
    case: str
    rows: list[TensorRow] = field(default_factory=list)

    @property
    def first(self) -> TensorRow | None:
        """The first tensor, in data-flow order, that differs."""
        return next((row for row in self.rows if row.differs), None)

    def __repr__(self) -> str:
        count = f"{len(self.rows)} {'tensor' if len(self.rows) == 1 else 'tensors'}"
        first = f", first to differ {self.first.name}" if self.first is not None else ""
        return printable(f"<Compared {self.checkpoint} · {self.case}: {count}{first}>", 1000)


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of ``parity.compare``: what two sides share, tensor by tensor, and what only one of them has.

    >>> found = parity.compare("runs/monday", "runs/tuesday")  # doctest: +SKIP
    >>> found  # doctest: +SKIP
    <Comparison monday ↔ tuesday: 2 cases, 1 differs; first decoder.hidden.1 in bart-odd · forward>
    >>> found.one_sided  # doctest: +SKIP
    ['only runs/tuesday: hf-tf on bart-odd']
    """

    cases: list[Compared]
    environments: list[str]
    """Library versions that differ: ``torch 2.12.0 ↔ 2.13.0``."""
    changes: list[Change] = field(default_factory=list)
    """Cells whose verdict differs, where both sides are runs that were judged."""
    one_sided: list[str] = field(default_factory=list)
    """What only one side has, a line for each side and checkpoint: backends, cases and checks; and traces that are
    missing on one side."""
    shared: list[str] = field(default_factory=list)
    """What both sides have, a line for each checkpoint: backends and the number of cases."""
    names: tuple[str, str] = ("", "")
    """The two sides as they were written."""

    @property
    def differing(self) -> list[Compared]:
        """The cases in which a tensor differs."""
        return [each for each in self.cases if each.first is not None]

    @property
    def same(self) -> bool:
        """Whether something was compared, and neither a tensor nor a verdict differs."""
        return bool(self.cases) and not self.changes and not self.differing

    @property
    def exit_code(self) -> int:
        """0: the same; 1: a tensor or a verdict differs; 2: the sides have nothing in common to compare."""
        return (0 if self.same else 1) if self.cases else 2

    def __repr__(self) -> str:
        found = self.differing
        count = f"{len(self.cases)} {'case' if len(self.cases) == 1 else 'cases'}"
        text = f"{self.names[0]} ↔ {self.names[1]}: {count}, {len(found)} {'differs' if len(found) == 1 else 'differ'}"
        if self.changes:
            text += f", {len(self.changes)} verdicts differ"
        if found and found[0].first is not None:
            text += f"; first {found[0].first.name} in {found[0].checkpoint} · {found[0].case}"
        return printable(f"<Comparison {text}>", 1000)


def compare(one: Operand, other: Operand, cases: Sequence[str] = ("load", "forward")) -> Comparison:
    """Compares two captured runs.

    Runs of different backends, cases or checks are compared by what they share; ``Comparison.one_sided`` lists the
    rest.

    Args:
        cases: names; ``*`` matches anything.

    Raises:
        RecordError, TraceError: a run cannot be read.
        CompareError: no case of either run has such a name, no checkpoint is in both, a side has no such subject, or
            one case has different inputs on the two sides.
    """
    (first, ours), (second, theirs) = (CheckpointRun.open_all(side.directory) for side in (one, other))
    found, environments, alike = [], {}, True
    shared: list[str] = []
    one_sided = list(_checkpoints_of_one(one, ours, other, theirs))
    for run, peer in _pairs(one, ours, other, theirs):
        pairs, names = list(_subjects(one, run, other, peer)), list(_cases(one, run, other, peer, cases))
        shared.append(_shared(run, pairs, names))
        one_sided += _of_one_side(one, run, other, peer, cases)
        for (a, left), (b, right) in pairs:
            pair = (first.environments[left.environment], second.environments[right.environment])
            alike = alike and (left.device, left.dtype) == (right.device, right.dtype)
            for line in _environments(*map(versions_of, pair)):
                environments[line] = None
            for case in names:
                ours_here, theirs_here = run.trace(a, case), peer.trace(b, case)
                if ours_here is not None and theirs_here is not None:
                    rows = list(tensor_rows(run, left, peer, right, case, ours_here, theirs_here))
                    one_name, other_name = (f"{s.label} {s.device} {s.dtype}" for s in (left, right))
                    found.append(Compared(run.checkpoint.name, (one_name, other_name), case, rows))
                elif ours_here is not None or theirs_here is not None:
                    who, side = (right, other) if theirs_here is None else (left, one)
                    one_sided.append(f"{run.checkpoint.name}: {side.name} has no trace of {case} from {who.label}")
    judged = _judged(one, other)
    one_sided += _checks_of_one(one, other, judged)
    # On another device or in another dtype every cell is another, and none of them has changed.
    changed = _changes(*judged) if alike and judged is not None else []
    return Comparison(found, list(environments), changed, one_sided, shared, (one.name, other.name))


def _shared(run: CheckpointRun, pairs: Sequence[tuple[tuple[int, SubjectRecord], ...]], names: list[str]) -> str:
    """``both: hf-torch, hf-torch/sdpa on bart-odd, 24 cases``."""
    labels = dict.fromkeys(
        left.label if left.label == right.label else f"{left.label} ↔ {right.label}" for (_, left), (_, right) in pairs
    )
    count = f"{len(names)} {'case' if len(names) == 1 else 'cases'}"
    return f"both: {', '.join(labels) or 'no backend'} on {run.checkpoint.name}, {count}"


def _checkpoints_of_one(
    one: Operand, ours: list[CheckpointRun], other: Operand, theirs: list[CheckpointRun]
) -> Iterator[str]:
    """A line for each side that has checkpoints of its own."""
    if len(ours) == len(theirs) == 1:
        return
    for side, runs, peers in ((one, ours, theirs), (other, theirs, ours)):
        there = {peer.checkpoint.name for peer in peers}
        if alone := [run.checkpoint.name for run in runs if run.checkpoint.name not in there]:
            yield f"only {side.name}: the {_listed(alone, 'checkpoint')}"


def _of_one_side(
    one: Operand, run: CheckpointRun, other: Operand, peer: CheckpointRun, wanted: Sequence[str]
) -> Iterator[str]:
    """A line for each side that has backends or cases of its own on one checkpoint.

    Named subjects are compared with each other, whatever else a run has.
    """
    for side, its, others in ((one, run, peer), (other, peer, run)):
        words = []
        if not (one.who or other.who):
            there = {s.label for _, s in others.subjects("candidate")}
            words += [
                label for label in dict.fromkeys(s.label for _, s in its.subjects("candidate")) if label not in there
            ]
        names = [name for name in its.cases if name not in others.cases and _is_wanted(name, wanted)]
        words += [f"the {_listed(names, 'case')}"] if names else []
        if words:
            yield f"only {side.name}: {', '.join(words)} on {its.checkpoint.name}"
    if others_inputs := [name for name in run.cases if _differs(run, peer, name) and _is_wanted(name, wanted)]:
        yield f"not compared, the inputs differ: the {_listed(others_inputs, 'case')} on {run.checkpoint.name}"


def _labels(run: CheckpointRun) -> dict[str, None]:
    return dict.fromkeys(subject.label for _, subject in run.subjects("candidate"))


def _checks_of_one(one: Operand, other: Operand, judged: tuple[ReportDigest, ReportDigest] | None) -> Iterator[str]:
    """A line for each side that was judged by checks of its own."""
    if judged is None:
        return
    checks = [dict.fromkeys(verdict.check for verdict in report.verdicts) for report in judged]
    for side, its, others in ((one, *checks), (other, *reversed(checks))):
        if alone := [check for check in its if check not in others]:
            yield f"only {side.name}: the {_listed(alone, 'check')}"


SHOWN_NAMES = 6
"""Names that a line lists."""


def _listed(names: Sequence[str], noun: str) -> str:
    """``cases loss, generate.greedy and 3 more``."""
    more = len(names) - SHOWN_NAMES
    listed = ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{noun if len(names) == 1 else f'{noun}s'} {listed}"


def _judged(one: Operand, other: Operand) -> tuple[ReportDigest, ReportDigest] | None:
    """Both reports; None where a subject was named, or a run was not judged."""
    reports = [side.directory / "report.json" for side in (one, other)]
    if one.who or other.who or not all(path.is_file() for path in reports):
        return None
    before, after = map(read_digest, reports)
    return before, after


def _changes(before: ReportDigest, after: ReportDigest) -> list[Change]:
    """From the first run's verdicts to the second's, of subjects, cases and checks that both have."""
    sides = [
        {(v.checkpoint, word) for v in side.verdicts for word in (v.cell.subject, v.case, v.check)}
        for side in (before, after)
    ]
    common = sides[0] & sides[1]
    return [
        change
        for change in changes(rows_of(before), after.verdicts)
        if {(change.cell.checkpoint, word) for word in (change.cell.subject, change.cell.case, change.cell.check)}
        <= common
    ]


def _pairs(
    one: Operand, ours: list[CheckpointRun], other: Operand, theirs: list[CheckpointRun]
) -> list[tuple[CheckpointRun, CheckpointRun]]:
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    named = {run.checkpoint.name: run for run in theirs}
    found = [(run, named[run.checkpoint.name]) for run in ours if run.checkpoint.name in named]
    if not found:
        first, second = (_listed([run.checkpoint.name for run in runs], "checkpoint") for runs in (ours, theirs))
        raise CompareError(
            f"{one.name} and {other.name}: runs of different checkpoints: the first has the {first}, "
            f"the second the {second}"
        )
    return found


def _subjects(
    one: Operand, run: CheckpointRun, other: Operand, peer: CheckpointRun
) -> Iterator[tuple[tuple[int, SubjectRecord], tuple[int, SubjectRecord]]]:
    """The named subjects, else each subject with that of the same label, device and dtype.

    Where the sides have no device in common, or no dtype, it is not part of the match.
    """
    ours, theirs = _of(one, run), _of(other, peer)
    if one.who and other.who:
        yield ours[0], theirs[0]
        return
    if (one.who or other.who) and len(ours) == 1 and len(theirs) == 1:
        yield ours[0], theirs[0]
        return
    words = [word for word in ("device", "dtype") if _values(ours, word) & _values(theirs, word)]
    alike = {_words(subject, words): (index, subject) for index, subject in theirs}
    for index, subject in ours:
        if peer_of := alike.get(_words(subject, words)):
            yield (index, subject), peer_of


def _values(subjects: list[tuple[int, SubjectRecord]], word: str) -> set[str]:
    return {getattr(subject, word) for _, subject in subjects}


def _words(subject: SubjectRecord, words: list[str]) -> tuple[str, ...]:
    return (subject.label, *(getattr(subject, word) for word in words))


def _of(side: Operand, run: CheckpointRun) -> list[tuple[int, SubjectRecord]]:
    found = [(i, s) for i, s in run.subjects("candidate") if side.who is None or side.who.is_it(s)]
    if not found:
        there = ", ".join(dict.fromkeys(f"{s.label}:{s.dtype}:{s.device}" for _, s in run.subjects("candidate")))
        raise CompareError(f"{side.name}: no such subject ran {run.checkpoint.name}; there are {there}")
    return found


def _cases(
    one: Operand, run: CheckpointRun, other: Operand, peer: CheckpointRun, wanted: Sequence[str]
) -> Iterator[str]:
    """The wanted cases that are the same on both sides.

    Raises:
        CompareError: no case has such a name, or one that was not made from answers has different inputs.
    """
    everything = [*run.cases, *peer.cases]
    if not any(_is_wanted(name, wanted) for name in everything):
        there = _listed(list(dict.fromkeys(everything)), "case")
        raise CompareError(f"{', '.join(wanted)}: no such case; there are the {there}")
    for name, case in run.cases.items():
        if name not in peer.cases or not _is_wanted(name, wanted):
            continue
        if not _differs(run, peer, name):
            yield name
        elif not (_is_derived(case) or _is_derived(peer.cases[name])):
            raise CompareError(
                f"{one.name} and {other.name}: {name} has different inputs: the runs were made with different inputs, "
                f"or {run.checkpoint.name} and {peer.checkpoint.name} are models of another kind, size or vocabulary"
            )


def _is_wanted(name: str, wanted: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in wanted)


def _differs(run: CheckpointRun, peer: CheckpointRun, name: str) -> bool:
    """Whether both have a case of this name, with different content."""
    return name in peer.cases and run.cases[name].digest != peer.cases[name].digest


def _is_derived(case: Case) -> bool:
    """Whether a case was made from the answers of the run's subjects: another backend leads to another one."""
    return bool(case.parents or "of" in case.notes or "trace" in case.notes)


def _environments(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"{name} {one.get(name, 'none')} ↔ {other.get(name, 'none')}"
