"""GitHub output of a gate: a step summary in Markdown, and annotations."""

from __future__ import annotations

from pathlib import Path

from parity.core.display import markdown, markdown_code, shown
from parity.report.export.github import annotation, at_most
from parity.tools.gate.gate import GateResult
from parity.tools.gate.render import LABELS, change_lines, ending, update_command

SHOWN_CHANGES = 100


def gate_summary(gated: GateResult, report: Path, baseline: Path) -> str:
    """The changes as a table and, if none is a regression, the command that accepts them."""
    gated = shown(gated)
    text = [f"### {markdown(ending(gated, baseline))}\n", *(f"- {markdown(line)}" for line in gated.versions)]
    rows = list(change_lines(gated.changes))
    if rows:
        text += ["\n| change | cells |\n|---|---|"]
        text += [f"| {LABELS.get(kind, kind)} | {markdown(line)} |" for kind, line in rows[:SHOWN_CHANGES]]
        if len(rows) > SHOWN_CHANGES:
            text.append(f"\nand {len(rows) - SHOWN_CHANGES} lines more")
    if rows and not any(change.regression for change in gated.changes):
        text.append(f"\nIf this is intended: {markdown_code(update_command(report, baseline), 8000)}")
    return "\n".join(text) + "\n"


def gate_annotations(gated: GateResult) -> list[str]:
    """One ``::error`` for each line of the gate's changes."""
    lines = change_lines(shown(gated.changes))
    annotations = [annotation(f"gate: {LABELS.get(kind, kind)}", line) for kind, line in lines]
    return at_most(annotations, "changes")
