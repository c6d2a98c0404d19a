"""Two sides compared tensor by tensor, in data-flow order: checkpoints, versions, devices, dtypes, backends or runs.

A side is a run's directory or a checkpoint, which is captured first, and who is asked about it:
``WHAT[::BACKEND[/VARIANT][@STACK][:DTYPE][:DEVICE]]``. Two conforming answers are each within a tolerance of the
oracle, so that they are at most the sum of both tolerances apart; an error is given as a share of that sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from parity.core.records import SubjectRecord
from parity.judge.captured_run import CheckpointRun
from parity.tools.compare.selector import CompareError, Side
from parity.tools.compare.tensor_diff import TensorRow, tensor_rows
from parity.tools.gate.baseline import rows_of
from parity.tools.gate.gate import Change, changes
from parity.tools.gate.report_digest import read_judged, versions_of


@dataclass(frozen=True)
class Compared:
    """One case of one checkpoint as two subjects answered it."""

    checkpoint: str
    subjects: tuple[str, str]
    case: str
    rows: list[TensorRow] = field(default_factory=list)

    @property
    def first(self) -> TensorRow | None:
        """The first tensor, in data-flow order, that differs."""
        return next((row for row in self.rows if row.differs), None)


@dataclass(frozen=True)
class Comparison:
    """Everything that two sides have in common."""

    cases: list[Compared]
    environments: list[str]
    """What is of another version: ``torch 2.12.0 ↔ 2.13.0``."""
    changes: list[Change] = field(default_factory=list)
    """Verdicts that are others on the second side, where both are runs that were judged."""
    one_sided: list[str] = field(default_factory=list)
    """Checkpoints and subjects of one side alone, and who has no answer to what the other side answered."""

    @property
    def same(self) -> bool:
        return not self.changes and all(each.first is None for each in self.cases)


def compare(one: Side, other: Side, cases: Sequence[str] = ("load", "forward")) -> Comparison:
    """Compares what two captured runs hold.

    Args:
        cases: names, ``*`` for anything.

    Raises:
        RecordError, TraceError: a run cannot be read.
        CompareError: the runs have no checkpoint, subject or case in common, or were asked about other inputs.
    """
    (first, ours), (second, theirs) = (CheckpointRun.open_all(side.directory) for side in (one, other))
    found, environments, one_sided, alike = [], {}, list(_alone(one, ours, other, theirs)), True
    for run, peer in _pairs(one, ours, other, theirs):
        for (a, left), (b, right) in _subjects(one, run, other, peer):
            pair = (first.environments[left.environment], second.environments[right.environment])
            alike = alike and (left.device, left.dtype) == (right.device, right.dtype)
            for line in _environments(*map(versions_of, pair)):
                environments[line] = None
            for case in _cases(one, run, other, peer, cases):
                ours_here, theirs_here = run.trace(a, case), peer.trace(b, case)
                if ours_here is not None and theirs_here is not None:
                    rows = list(tensor_rows(run, left, peer, right, case, ours_here, theirs_here))
                    one_name, other_name = (f"{s.label} {s.device} {s.dtype}" for s in (left, right))
                    found.append(Compared(run.checkpoint.name, (one_name, other_name), case, rows))
                elif ours_here is not None or theirs_here is not None:
                    who = right if theirs_here is None else left
                    one_sided.append(f"{run.checkpoint.name}: {who.label} has no answer to {case}")
    if not found:
        raise CompareError(f"{one.name} and {other.name}: no case was answered on both sides")
    # On another device or in another dtype every cell is another, and none of them has changed.
    return Comparison(found, list(environments), _changes(one, other) if alike else [], one_sided)


def _alone(one: Side, ours: list[CheckpointRun], other: Side, theirs: list[CheckpointRun]) -> Iterator[str]:
    """What whole runs do not have in common."""
    if one.who or other.who:
        return
    for side, runs, peers in ((one, ours, theirs), (other, theirs, ours)):
        there = {peer.checkpoint.name: {s.label for _, s in peer.subjects("candidate")} for peer in peers}
        if len(runs) == len(peers) == 1:
            there = {runs[0].checkpoint.name: next(iter(there.values()))}
        for run in runs:
            name = run.checkpoint.name
            labels = dict.fromkeys(s.label for _, s in run.subjects("candidate"))
            if name not in there:
                yield f"only {side.name} has {name}"
            elif alone := [label for label in labels if label not in there[name]]:
                yield f"only {side.name} asked {', '.join(alone)} about {name}"


def _changes(one: Side, other: Side) -> list[Change]:
    """From the first run's verdicts to the second's, of subjects and cases that both have.

    None where a subject was named, or a run was not judged.
    """
    reports = [side.directory / "report.json" for side in (one, other)]
    if one.who or other.who or not all(path.is_file() for path in reports):
        return []
    before, after = map(read_judged, reports)
    sides = [
        {(v.checkpoint, word) for v in side.verdicts for word in (v.cell.subject, v.case)} for side in (before, after)
    ]
    common = sides[0] & sides[1]
    return [
        change
        for change in changes(rows_of(before), after)
        if {(change.cell.checkpoint, change.cell.subject), (change.cell.checkpoint, change.cell.case)} <= common
    ]


def _pairs(
    one: Side, ours: list[CheckpointRun], other: Side, theirs: list[CheckpointRun]
) -> list[tuple[CheckpointRun, CheckpointRun]]:
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    named = {run.checkpoint.name: run for run in theirs}
    found = [(run, named[run.checkpoint.name]) for run in ours if run.checkpoint.name in named]
    if not found:
        raise CompareError(f"{one.name} and {other.name}: runs of different checkpoints, none of one name")
    return found


def _subjects(
    one: Side, run: CheckpointRun, other: Side, peer: CheckpointRun
) -> Iterator[tuple[tuple[int, SubjectRecord], tuple[int, SubjectRecord]]]:
    """Those that were named, else everyone with whoever is of the same label, device and dtype.

    Where the sides have no device in common, or no dtype, it is what they are compared by.
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


def _of(side: Side, run: CheckpointRun) -> list[tuple[int, SubjectRecord]]:
    found = [(i, s) for i, s in run.subjects("candidate") if side.who is None or side.who.is_it(s)]
    if not found:
        there = ", ".join(dict.fromkeys(f"{s.label}:{s.dtype}:{s.device}" for _, s in run.subjects("candidate")))
        raise CompareError(f"{side.name}: nobody so called was asked about {run.checkpoint.name}; there are {there}")
    return found


def _cases(one: Side, run: CheckpointRun, other: Side, peer: CheckpointRun, wanted: Sequence[str]) -> Iterator[str]:
    for name, case in run.cases.items():
        if name not in peer.cases or not any(fnmatchcase(name, pattern) for pattern in wanted):
            continue
        if case.digest != peer.cases[name].digest:
            raise CompareError(
                f"{one.name} and {other.name}: {name} was asked of other inputs: {run.checkpoint.name} and "
                f"{peer.checkpoint.name} are models of another kind, size or vocabulary"
            )
        yield name


def _environments(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"{name} {one.get(name, 'none')} ↔ {other.get(name, 'none')}"
