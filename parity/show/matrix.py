"""The matrix: checks down, subjects across, each cell the worst verdict over its cases."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from parity.records import Report, Verdict
from parity.show.console import WORST_FIRST, status_text
from parity.subjects import Subject

SEPARATE_CHECKPOINTS = 4
"""Up to so many checkpoints have a matrix each; more share one, each cell the worst over all."""
SHORTEST_CLAIM = 16
"""Characters below which a claim says nothing and is left out."""


def subject_label(verdict: Verdict) -> str:
    """``hf-torch/sdpa@docs-4.37``."""
    return Subject(verdict.backend, verdict.variant, verdict.stack).label


def matrices(report: Report, width: int) -> list[Table]:
    """One table for each checkpoint and each device × dtype, or one for all checkpoints where they are many.

    Args:
        width: characters a line may have; claims are cut to fit, verdicts never.
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
                tables.append(_matrix(f"{title} · {dtype} · {device}", chosen, width))
    return tables


def worst(statuses: Sequence[str]) -> str:
    """The status a cell shows: a pass with some cases skipped is a pass."""
    return min(statuses, key=WORST_FIRST.index)


def _matrix(title: str, verdicts: list[Verdict], width: int) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    claims = dict.fromkeys((verdict.check, verdict.claim) for verdict in verdicts)
    headings = {label: _stacked(label) for label in dict.fromkeys(subject_label(verdict) for verdict in verdicts)}
    widths = [max(len("error"), *map(len, heading.split("\n"))) for heading in headings.values()]
    widths = [max(len(check) for check, _ in claims), *widths]
    for heading, columns in zip(["check", *headings.values()], widths, strict=True):
        table.add_column(heading, no_wrap=True, min_width=columns)
    # Beside each column rich leaves two characters.
    left = width - sum(columns + 2 for columns in widths)
    if left >= SHORTEST_CLAIM:
        table.add_column("claim", no_wrap=True, overflow="ellipsis", max_width=left)
    cells: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        cells.setdefault((verdict.check, subject_label(verdict)), []).append(verdict.status)
    for check, claim in claims:
        row = [_cell(cells.get((check, label))) for label in headings]
        table.add_row(check, *row, *([Text(claim)] if left >= SHORTEST_CLAIM else []))
    return table


def _cell(statuses: list[str] | None) -> Text:
    return status_text(worst(statuses)) if statuses else Text("·", "bright_black")


def _stacked(label: str) -> str:
    """A long label on several short lines, broken after the framework's owner and before variant and stack."""
    return "\n".join(re.split(r"(?<=^hf)-|(?<=^reference)-|(?=[/@+])", label))
