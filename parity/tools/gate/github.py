"""What GitHub shows of a gate: a step's summary in Markdown, and annotations."""

from __future__ import annotations

from pathlib import Path

from parity.core.display import markdown, markdown_code, shown
from parity.report.export.github import annotation, at_most
from parity.tools.gate.gate import GateResult
from parity.tools.gate.render import WORDS, change_lines, ending, update_command

SHOWN_CHANGES = 100


def gate_summary(gated: GateResult, report: Path, baseline: Path) -> str:
    """What changed, as a table, and, where nothing is worse, the command that accepts it."""
    gated = shown(gated)
    text = [f"### {markdown(ending(gated, baseline))}\n", *(f"- {markdown(line)}" for line in gated.versions)]
    rows = list(change_lines(gated.changes))
    if rows:
        text += ["\n| change | cells |\n|---|---|"]
        text += [f"| {WORDS.get(kind, kind)} | {markdown(line)} |" for kind, line in rows[:SHOWN_CHANGES]]
        if len(rows) > SHOWN_CHANGES:
            text.append(f"\nand {len(rows) - SHOWN_CHANGES} lines more")
    if rows and not any(change.regression for change in gated.changes):
        text.append(f"\nIf that is meant: {markdown_code(update_command(report, baseline), 8000)}")
    return "\n".join(text) + "\n"


def gate_annotations(gated: GateResult) -> list[str]:
    """One ``::error`` for each line of the gate's changes."""
    lines_told = change_lines(shown(gated.changes))
    told = [annotation(f"gate: {WORDS.get(kind, kind)}", line) for kind, line in lines_told]
    return at_most(told, "changes")
