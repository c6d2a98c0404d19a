"""Failures, known issues and skipped cells: one block each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from parity.core.records import Report, Verdict
from parity.judge import known_issues
from parity.judge.known_issues import Entry
from parity.report.failures import (
    LIKELY_CAUSE,
    REPRODUCE,
    Group,
    Origin,
    groups,
    headline,
    lines,
    origins,
    usual_causes,
)
from parity.report.html.anchors import curve_anchor
from parity.report.terminal import by_entry, by_reason, carried_words, likely_cause

SEVERITIES = {severity: rank for rank, severity in enumerate(get_args(known_issues.Severity))}
"""The worst first."""

Anchors = dict[int, str]
"""By the verdict's ``id()``: the block that speaks of it."""


@dataclass(frozen=True)
class Block:
    """One failure, as the terminal shows it."""

    anchor: str
    status: str
    checks: str
    where: str
    lines: list[tuple[str, str]]
    reproduce: str
    """The command that shows the failure again; empty where there is none."""
    curve: str
    """The anchor of its subject's plots, where there are any."""
    follows: bool
    """Whether it follows from another failure."""

    @property
    def likely(self) -> str:
        return dict(self.lines).get(LIKELY_CAUSE, "")

    @property
    def words(self) -> str:
        """What the page's filter searches."""
        return " ".join([self.checks, self.where, *(line for _, line in self.lines)])


@dataclass(frozen=True)
class Known:
    """One entry of the list of known issues that was met."""

    anchor: str
    id: str
    severity: str
    subjects: list[str]
    checkpoints: list[str]
    checks: list[str]
    cells: int
    carried: str
    """Behind the number of cells: how many were carried over, and from where."""
    cause: str
    found: str
    """What its first cell found."""
    entry: Entry | None
    """For upstream and effect; None where this version has no such known issue."""


@dataclass(frozen=True)
class Skipped:
    """One missing capability."""

    anchor: str
    cells: int
    subjects: list[str]
    why: str


@dataclass(frozen=True)
class Findings:
    """All blocks, and where to find the one of a verdict."""

    blocks: list[Block]
    beginnings: list[tuple[Origin, Block]]
    """The first divergences, each with the first block that names it."""
    known: list[Known]
    skipped: list[Skipped]
    anchors: Anchors

    @property
    def roots(self) -> list[Block]:
        """Failures that do not follow from another one."""
        return [block for block in self.blocks if not block.follows]

    @property
    def followers(self) -> list[Block]:
        return [block for block in self.blocks if block.follows]


def find(report: Report) -> Findings:
    """The blocks of a report, each with an anchor that the matrix links to."""
    anchors: Anchors = {}
    failures = groups(v for v in report.verdicts if v.status in ("fail", "error"))
    causes = usual_causes(failures, likely_cause)
    blocks = [
        _block(_point(anchors, f"failure-{n}", group.verdicts), group, *cause)
        for n, (group, cause) in enumerate(zip(failures, causes, strict=True), 1)
    ]
    beginnings = [(origin, blocks[failures.index(origin.groups[0])]) for origin in origins(failures)]
    entries = sorted(by_entry(report).items(), key=lambda item: SEVERITIES.get(item[0][1], len(SEVERITIES)))
    known = [
        _known(_point(anchors, f"known-{number}", verdicts), *entry, verdicts)
        for number, (entry, verdicts) in enumerate(entries, 1)
    ]
    skipped = [
        Skipped(_point(anchors, f"skip-{number}", verdicts), len(verdicts), _subjects(verdicts), why)
        for number, (why, verdicts) in enumerate(by_reason(report).items(), 1)
    ]
    return Findings(blocks, beginnings, known, skipped, anchors)


def _point(anchors: Anchors, anchor: str, verdicts: Iterable[Verdict]) -> str:
    anchors.update((id(verdict), anchor) for verdict in verdicts)
    return anchor


def _block(anchor: str, group: Group, likely: str, follows: str) -> Block:
    checks, status, where = headline(group)
    curve = curve_anchor(group.example.checkpoint, group.example, group.example.subject_label)
    named = list(lines(group, likely, follows))
    reproduce = dict(named).get(REPRODUCE, "")
    rest = [(name, line) for name, line in named if name != REPRODUCE]
    return Block(anchor, status, checks, where, rest, reproduce, curve, bool(follows))


def _known(anchor: str, name: str, severity: str, verdicts: list[Verdict]) -> Known:
    # The reason is `ID: cause [what this cell found]`.
    cause, _, found = verdicts[0].reason.removeprefix(f"{name}: ").partition(" [")
    return Known(
        anchor=anchor,
        id=name,
        severity=severity,
        subjects=_subjects(verdicts),
        checkpoints=_once(verdict.checkpoint for verdict in verdicts),
        checks=_once(verdict.check for verdict in verdicts),
        cells=len(verdicts),
        carried=carried_words(verdicts),
        cause=cause,
        found=found.removesuffix("]"),
        entry=next((entry for entry in known_issues.entries() if entry.id == name), None),
    )


def _subjects(verdicts: Iterable[Verdict]) -> list[str]:
    return _once(verdict.subject_label for verdict in verdicts)


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
