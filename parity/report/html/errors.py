"""The errors of every tensor against their tolerances: for each subject the first case in sight, the others folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from parity.core.records import MeasuredError, Report, SubjectRecord
from parity.report.console import WORST_FIRST
from parity.report.html.anchors import anchor, curve_anchor
from parity.report.html.heat import HeatMap, heat_map
from parity.report.html.plots import Plot, decades_of, is_outside, plot
from parity.report.matrix import worst

MOST_POINTS = 12_000
"""About 1 MB of a packed page. Past it, folded plots whose tensors are all inside are counted and not drawn."""


@dataclass(frozen=True)
class Panel:
    """One subject's answer to one case."""

    case: str
    status: str
    """The worst verdict that compared tensors of this case: tells a known divergence from a new one."""
    tensors: int
    outside: int
    first: str
    """The first tensor, in data-flow order, that is outside; empty where none is."""
    worst: MeasuredError | None
    """The tensor farthest past its tolerance or nearest to it."""
    numberless: list[str]
    """Tensors whose error is no number."""
    plot: Plot

    @property
    def colour(self) -> str:
        """The status whose colour a count of tensors outside has: none where no check judges this case by them."""
        return "" if self.status == "pass" else self.status


@dataclass(frozen=True)
class SubjectErrors:
    """One subject on one checkpoint."""

    anchor: str
    label: str
    panels: list[Panel]
    """The forward pass first."""
    heat: HeatMap | None = None
    """Of the forward pass."""
    left_out: list[str] = field(default_factory=list)
    """Cases that are not drawn for want of room."""

    @property
    def status(self) -> str:
        return worst([panel.status for panel in self.panels])


@dataclass(frozen=True)
class CheckpointErrors:
    anchor: str
    name: str
    subjects: list[SubjectErrors]


@dataclass(frozen=True)
class Curve:
    """The plot that the page's head shows."""

    anchor: str
    label: str
    panel: Panel


Rows = list[MeasuredError]


def error_view(report: Report) -> list[CheckpointErrors]:
    """Every measured error of a report, as plots by checkpoint and subject."""
    found: dict[str, dict[int, dict[str, Rows]]] = {}
    for row in report.measured:
        found.setdefault(row.checkpoint, {}).setdefault(row.subject, {}).setdefault(row.case, []).append(row)
    statuses = _statuses(report)
    room = MOST_POINTS - sum(len(next(iter(cases.values()))) for part in found.values() for cases in part.values())
    views = []
    for checkpoint, subjects in found.items():
        by_case: dict[str, Rows] = {}
        for cases in subjects.values():
            for case, rows in cases.items():
                by_case.setdefault(case, []).extend(rows)
        # One axis for all subjects of a case, so that their plots can be read side by side.
        decades = {case: decades_of(rows) for case, rows in by_case.items()}
        shown = []
        for index, cases in subjects.items():
            drawn, left_out, room = _within(cases, room)
            subject = report.subjects[index]
            panels = []
            for case in drawn:
                status = statuses.get((checkpoint, _identity(subject), case), "pass")
                panels.append(_panel(case, cases[case], decades[case], status))
            heat = heat_map(row for rows in cases.values() for row in rows)
            title = f"{subject.label} · {subject.dtype} · {subject.device}"
            curves = curve_anchor(checkpoint, subject, subject.label)
            shown.append(SubjectErrors(curves, title, panels, heat, left_out))
        shown.sort(key=lambda each: WORST_FIRST.index(each.status))
        views.append(CheckpointErrors(anchor("errors", checkpoint), checkpoint, shown))
    return views


def first_curve(errors: Iterable[CheckpointErrors], wanted: Sequence[str]) -> Curve | None:
    """The first failing plot of the first of these subjects that has one.

    Args:
        wanted: anchors of subjects.
    """
    found = {subject.anchor: (checkpoint, subject) for checkpoint in errors for subject in checkpoint.subjects}
    for name in wanted:
        if name not in found:
            continue
        checkpoint, subject = found[name]
        for panel in subject.panels:
            if panel.outside and panel.status == "fail":
                return Curve(name, f"{checkpoint.name} · {subject.label}", panel)
    return None


def _within(cases: dict[str, Rows], room: int) -> tuple[list[str], list[str], int]:
    """The cases to draw, those to leave out, and the points that are left for others."""
    first, *others = cases
    drawn, left_out = [first], []
    for case in others:
        if len(cases[case]) <= room or any(is_outside(row) for row in cases[case]):
            drawn.append(case)
            room -= len(cases[case])
        else:
            left_out.append(case)
    return drawn, left_out, room


def _panel(case: str, rows: Rows, decades: tuple[int, int], status: str) -> Panel:
    outside = [row for row in rows if is_outside(row)]
    numbered = [row for row in rows if row.ratio is not None]
    return Panel(
        case=case,
        status=status,
        tensors=len(rows),
        outside=len(outside),
        first=outside[0].tensor if outside else "",
        worst=max(numbered, key=lambda row: row.ratio or 0.0, default=None),
        numberless=[row.tensor for row in rows if row.error is None],
        plot=plot(rows, decades),
    )


def _identity(subject: SubjectRecord) -> tuple[str, str, str]:
    return subject.label, subject.dtype, subject.device


def _statuses(report: Report) -> dict[tuple[str, tuple[str, str, str], str], str]:
    found: dict[tuple[str, tuple[str, str, str], str], list[str]] = {}
    for verdict in report.verdicts:
        if verdict.error is not None or verdict.first_divergence is not None:
            identity = (verdict.subject_label, verdict.dtype, verdict.device)
            found.setdefault((verdict.checkpoint, identity, verdict.case), []).append(verdict.status)
    return {key: worst(statuses) for key, statuses in found.items()}
