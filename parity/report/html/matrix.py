"""The matrix: checks by group down, subjects across, each cell the worst verdict over its cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parity.core.records import Report, Verdict
from parity.judge.checks import CHECKS
from parity.report.console import WORST_FIRST, plural
from parity.report.html.anchors import anchor
from parity.report.html.findings import Anchors
from parity.report.html.head import counted
from parity.report.matrix import shown_subjects, worst


@dataclass(frozen=True)
class Case:
    """One verdict in a cell's card."""

    name: str
    status: str
    ratio: float | None
    """The error as a multiple of tolerance; None where there is no number."""
    reason: str
    anchor: str | None
    """The block that says more."""


@dataclass(frozen=True)
class Cell:
    """One claim about one subject, over its cases."""

    anchor: str
    subject: str
    status: str | None
    """None where the check does not apply to this subject."""
    hover: str
    cases: list[Case]

    @property
    def ratio(self) -> float | None:
        """The greatest multiple of tolerance among its failed cases; None where it fails without a number."""
        return max(
            (case.ratio for case in self.cases if case.status == "fail" and case.ratio is not None), default=None
        )


@dataclass(frozen=True)
class Row:
    """One check."""

    check: str
    claim: str
    source: str
    cells: list[Cell]


@dataclass(frozen=True)
class CheckGroup:
    """Checks of one group, with those subjects as columns that any of them applies to."""

    name: str
    subjects: list[str]
    rows: list[Row]

    @property
    def worst(self) -> str:
        return worst([cell.status for row in self.rows for cell in row.cells if cell.status])

    @property
    def passes(self) -> bool:
        """Whether every cell passes: such a group is folded to a line."""
        return all(cell.status in (None, "pass") for row in self.rows for cell in row.cells)


@dataclass(frozen=True)
class Matrix:
    """One checkpoint at one dtype on one device."""

    anchor: str
    """What the anchors of its cells begin with; the same in every report of that checkpoint, dtype and device."""
    title: str
    totals: list[tuple[str, int]]
    groups: list[CheckGroup]
    """Those with failures first, those that pass last."""


def matrix_views(report: Report, anchors: Anchors) -> list[Matrix]:
    """One matrix for each checkpoint, dtype and device, in the report's order."""
    parts: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in report.verdicts:
        parts.setdefault((verdict.checkpoint, verdict.dtype, verdict.device), []).append(verdict)
    return [
        _matrix(anchor("cell", *key), " · ".join(key), verdicts, shown_subjects(report, verdicts), anchors)
        for key, verdicts in parts.items()
    ]


def _matrix(prefix: str, title: str, verdicts: list[Verdict], columns: set[str], anchors: Anchors) -> Matrix:
    order = {
        subject: index for index, subject in enumerate(dict.fromkeys(verdict.subject_label for verdict in verdicts))
    }
    groups: dict[str, dict[str, dict[str, list[Verdict]]]] = {}
    for verdict in (each for each in verdicts if each.subject_label in columns):
        rows = groups.setdefault(_group(verdict.check), {})
        rows.setdefault(verdict.check, {}).setdefault(verdict.subject_label, []).append(verdict)
    views = []
    for name, rows in groups.items():
        subjects = sorted({subject for found in rows.values() for subject in found}, key=order.__getitem__)
        views.append(CheckGroup(name, subjects, [_row(prefix, *row, subjects, anchors) for row in rows.items()]))
    views.sort(key=lambda group: WORST_FIRST.index(group.worst) if not group.passes else len(WORST_FIRST))
    return Matrix(prefix, title, counted(verdicts), views)


def _group(check: str) -> str:
    return CHECKS[check].group if check in CHECKS else "other"


def _row(prefix: str, check: str, found: dict[str, list[Verdict]], subjects: list[str], anchors: Anchors) -> Row:
    claim = next(iter(found.values()))[0].claim
    cells = [_cell(f"{prefix}.{anchor(check, name)}", name, found.get(name, []), anchors) for name in subjects]
    return Row(check, claim, CHECKS[check].source if check in CHECKS else "", cells)


def _cell(anchor: str, subject: str, verdicts: list[Verdict], anchors: Anchors) -> Cell:
    if not verdicts:
        return Cell(anchor, subject, None, f"does not apply to {subject}", [])
    cases = [
        Case(verdict.case, verdict.status, verdict.ratio, _reason(verdict), anchors.get(id(verdict)))
        for verdict in verdicts
    ]
    return Cell(anchor, subject, worst([v.status for v in verdicts]), ", ".join(_hover(subject, cases)), cases)


def _hover(subject: str, cases: list[Case]) -> Iterator[str]:
    yield f"{subject}: {plural(len(cases), 'case')}"
    measured = [case for case in cases if case.ratio is not None]
    if measured:
        nearest = max(measured, key=lambda case: case.ratio or 0.0)
        yield f"at most {nearest.ratio:,.2g} × tolerance ({nearest.name})"


def _reason(verdict: Verdict) -> str:
    """The verdict's; of a known divergence its entry's name and what this cell found, as its block says the cause."""
    if verdict.status != "known":
        return verdict.reason
    name = str(verdict.evidence.get("known_issue"))
    found = verdict.reason.partition(" [")[2].removesuffix("]")
    return f"{name}: {found}" if found else name
