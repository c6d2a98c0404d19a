"""A report of the fixtures held against ``reports/baseline.json``."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from parity.core.records import Report
from parity.tools.gate.baseline import read_baseline
from parity.tools.gate.gate import changes
from parity.tools.gate.report_digest import Cell, ReportDigest

BASELINE = Path(__file__).parents[2] / "reports" / "baseline.json"
BACKENDS = {
    "reference-torch",
    "reference-flax",
    "hf-torch",
    "hf-tf",
    "hf-flax",
    "hf-config",
    "hf-tokenizer",
    "hf-tokenizer-fast",
    "file",
}
"""Who is asked in `main`."""
SAVED = re.compile(r"saved(-[a-z]+)?\.[^@]+@(?P<stack>.+?)(\.[a-z0-9]+\.[a-z_]+)?$")
"""Cases of files that one stack saves and another loads (``parity.judge.followup.saving``)."""
ACROSS_STACKS = ("save-", "saved-")
"""Prefixes of cases that there are only if several stacks are audited."""


def unlike_the_baseline(report: Report, stack: str, stacks: Collection[str]) -> list[str]:
    """What is not as the baseline has it, a line for each cell: verdict, entry, what it rests on, error out of range.

    Args:
        stack: the stack whose cells are compared.
        stacks: all stacks that were audited together; what others saved is loaded only beside them.
    """
    checkpoints = {record.name for record in report.checkpoints}
    known = {
        cell: row
        for cell, row in read_baseline(BASELINE).rows()
        if cell.checkpoint in checkpoints
        and _stack(cell) == stack
        and _saver(cell.case) in {"", *stacks}
        and (len(stacks) > 1 or not cell.case.startswith(ACROSS_STACKS))
    }
    assert known, f"the baseline has no cell of {stack}"
    judged = ReportDigest.model_validate_json(report.model_dump_json(by_alias=True))
    judged = judged.model_copy(update={"verdicts": [each for each in judged.verdicts if each.stack == stack]})
    return [
        f"{change.kind} {' · '.join(change.cell)}: {change.before} -> {change.after}"
        for change in changes(known, judged.verdicts)
    ]


def _stack(cell: Cell) -> str:
    """The stack of a cell's subject, ``hf-torch/sdpa@docs-4.37 cpu float32 BartModel``."""
    return cell.subject.partition(" ")[0].partition("@")[2] or "main"


def _saver(case: str) -> str:
    found = SAVED.match(case)
    return found["stack"] if found else ""
