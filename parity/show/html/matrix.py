"""The matrix: checks by family down, subjects across, each cell the worst verdict over its cases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from parity.checks import CHECKS
from parity.records import Report, Verdict
from parity.show.console import plural
from parity.show.html.findings import Anchors
from parity.show.html.head import counted
from parity.show.matrix import subject_label, worst


@dataclass(frozen=True)
class Case:
    """One verdict in a cell's card."""

    name: str
    status: str
    budgets: float | None
    """The error in budgets; None where there is no number."""
    reason: str
    anchor: str | None
    """The block that says more."""


@dataclass(frozen=True)
class Cell:
    """One claim about one subject, over its cases."""

    anchor: str
    subject: str
    status: str | None
    """None where the check is not asked of this subject."""
    hover: str
    cases: list[Case]


@dataclass(frozen=True)
class Row:
    """One check."""

    check: str
    claim: str
    source: str
    cells: list[Cell]


@dataclass(frozen=True)
class Matrix:
    """One checkpoint at one dtype on one device."""

    anchor: str
    """What the anchors of its cells begin with; the same in every report of that checkpoint, dtype and device."""
    title: str
    totals: list[tuple[str, int]]
    subjects: list[str]
    families: list[tuple[str, list[Row]]]


def matrix_views(report: Report, anchors: Anchors) -> list[Matrix]:
    """One matrix for each checkpoint, dtype and device, in the report's order."""
    parts: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in report.verdicts:
        parts.setdefault((verdict.checkpoint, verdict.dtype, verdict.device), []).append(verdict)
    return [_matrix(anchor("cell", *key), " · ".join(key), verdicts, anchors) for key, verdicts in parts.items()]


def anchor(*words: str) -> str:
    """An element's id from what it is about, so that a link to it holds in the next report too.

    Letters, digits, ``-`` and ``_`` stay; anything else is written as its code, so that no two things share an id.
    """
    return ".".join(re.sub(r"[^\w-]|[^\x00-\x7f]", lambda found: f"~{ord(found[0]):x}~", word) for word in words)


def _matrix(prefix: str, title: str, verdicts: list[Verdict], anchors: Anchors) -> Matrix:
    subjects = list(dict.fromkeys(subject_label(verdict) for verdict in verdicts))
    rows: dict[str, dict[str, list[Verdict]]] = {}
    for verdict in verdicts:
        rows.setdefault(verdict.check, {}).setdefault(subject_label(verdict), []).append(verdict)
    families: dict[str, list[Row]] = {}
    for check, found in rows.items():
        declared = CHECKS.get(check)
        claim = next(iter(found.values()))[0].claim
        cells = [
            _cell(f"{prefix}.{anchor(check, subject)}", subject, found.get(subject, []), anchors)
            for subject in subjects
        ]
        row = Row(check, claim, declared.source if declared else "", cells)
        families.setdefault(declared.family if declared else "other", []).append(row)
    return Matrix(prefix, title, counted(verdicts), subjects, list(families.items()))


def _cell(place: str, subject: str, verdicts: list[Verdict], anchors: Anchors) -> Cell:
    if not verdicts:
        return Cell(place, subject, None, f"not asked of {subject}", [])
    cases = [
        Case(verdict.case, verdict.status, _budgets(verdict), verdict.reason, anchors.get(id(verdict)))
        for verdict in verdicts
    ]
    return Cell(place, subject, worst([v.status for v in verdicts]), ", ".join(_hover(subject, cases)), cases)


def _hover(subject: str, cases: list[Case]) -> Iterator[str]:
    yield f"{subject}: {plural(len(cases), 'case')}"
    measured = [case for case in cases if case.budgets is not None]
    if measured:
        nearest = max(measured, key=lambda case: case.budgets or 0.0)
        yield f"at most {nearest.budgets:,.2g} budgets ({nearest.name})"


def _budgets(verdict: Verdict) -> float | None:
    return verdict.error / verdict.budget if verdict.error is not None and verdict.budget else None
