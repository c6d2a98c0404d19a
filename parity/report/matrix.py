"""The matrix: checks down, subjects across, each cell the worst verdict over its cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from parity.core.records import Report, Verdict
from parity.report.console import WORST_FIRST, status_text

SEPARATE_CHECKPOINTS = 4
"""Up to so many checkpoints have a matrix each; more share one, each cell the worst over all."""
BESIDE = 2
"""Characters that rich leaves beside each column."""
SHORTEST_CLAIM = 16
"""Characters below which a claim says nothing and is left out."""


def shown_subjects(report: Report, verdicts: Iterable[Verdict]) -> set[str]:
    """Labels of the subjects that have a column: all but those that cannot run, unless none can.

    Every cell of such a subject is skipped, and the cause stands in one line with their number (``skip_lines``).
    """
    absent = {
        (each.label, each.device, each.dtype, each.model_class)
        for each in report.subjects
        if each.role == "candidate" and not each.can_run
    }
    found: dict[str, bool] = {}
    for each in verdicts:
        label = each.subject_label
        answered = each.status != "skip" or (label, each.device, each.dtype, each.model_class) not in absent
        found[label] = found.get(label, False) or answered
    return {label for label, answered in found.items() if answered} or set(found)


def matrices(report: Report, width: int) -> list[Table]:
    """Tables for each checkpoint and each device × dtype, or for all checkpoints where they are many.

    Args:
        width: characters a line may have; claims are cut to fit, and subjects that do not fit have tables of their own.
    """
    tables = []
    settings = dict.fromkeys((verdict.device, verdict.dtype) for verdict in report.verdicts)
    names = [checkpoint.name for checkpoint in report.checkpoints]
    groups = [[name] for name in names] if len(names) <= SEPARATE_CHECKPOINTS else [names]
    for group in groups:
        title = group[0] if len(group) == 1 else f"{len(group)} checkpoints, the worst of each cell"
        for device, dtype in settings:
            chosen = [
                verdict
                for verdict in report.verdicts
                if verdict.checkpoint in group and (verdict.device, verdict.dtype) == (device, dtype)
            ]
            if chosen:
                tables += _tables(f"{title} · {dtype} · {device}", chosen, shown_subjects(report, chosen), width)
    return tables


def worst(statuses: Sequence[str]) -> str:
    """The status a cell shows: a pass with some cases skipped is a pass."""
    return min(statuses, key=WORST_FIRST.index)


def _tables(title: str, verdicts: list[Verdict], columns: set[str], width: int) -> Iterator[Table]:
    """The matrix, in as many tables as its subjects need; one holds the checks that any of its subjects is asked."""
    cells: dict[str, dict[str, list[str]]] = {}
    for verdict in verdicts:
        if verdict.subject_label not in columns:
            continue
        cells.setdefault(verdict.subject_label, {}).setdefault(verdict.check, []).append(verdict.status)
    claims = {verdict.check: verdict.claim for verdict in verdicts}
    first = max(map(len, claims)) + BESIDE
    chosen: list[str] = []
    for label in cells:
        if chosen and first + sum(map(_width, [*chosen, label])) > width:
            yield _table(title, {label: cells[label] for label in chosen}, claims, width)
            chosen = []
        chosen.append(label)
    yield _table(title, {label: cells[label] for label in chosen}, claims, width)


def _table(title: str, cells: dict[str, dict[str, list[str]]], claims: dict[str, str], width: int) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    listed = [check for check in claims if any(check in found for found in cells.values())]
    first = max(map(len, listed))
    table.add_column("check", no_wrap=True, min_width=first)
    for label in cells:
        table.add_column(_stacked(label), no_wrap=True, min_width=_width(label) - BESIDE)
    left = width - first - BESIDE - sum(map(_width, cells)) - BESIDE
    if left >= SHORTEST_CLAIM:
        table.add_column("claim", no_wrap=True, overflow="ellipsis", max_width=left)
    for check in listed:
        row = [_cell(found.get(check)) for found in cells.values()]
        table.add_row(check, *row, *([Text(claims[check])] if left >= SHORTEST_CLAIM else []))
    return table


def _width(label: str) -> int:
    """Characters that a subject's column takes."""
    return max(len("error"), *map(len, _stacked(label).split("\n"))) + BESIDE


def _cell(statuses: list[str] | None) -> Text:
    return status_text(worst(statuses)) if statuses else Text("·", "bright_black")


def _stacked(label: str) -> str:
    """A long label on several short lines, broken after the framework's owner and before variant and stack."""
    return "\n".join(re.split(r"(?<=^hf)-|(?<=^reference)-|(?=[/@+])", label))
