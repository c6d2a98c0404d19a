"""Terminal output of ``parity golden check``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from parity.core.display import printable, shown
from parity.core.records import Report
from parity.core.resources import goldens
from parity.report.console import console, plural, size
from parity.report.failures import block, groups, usual_causes
from parity.report.terminal import cost_line, likely_cause, totals_line

if TYPE_CHECKING:
    from parity.tools.golden.check import Problem


def show_problems(found: Sequence[Problem]) -> None:
    """Prints a line for each problem, then the number of files."""
    out = console()
    for problem in found:
        out.print(Text.assemble((f"{problem.kind:<8} ", "bold red"), printable(problem.what)))
    files = list(goldens().rglob("*.safetensors"))
    bytes_there = size(sum(path.stat().st_size for path in files))
    wrong = plural(len(found), "problem") if found else "none missing, unused, altered or stale"
    out.print(f"{plural(len(files), 'file')} of goldens, {bytes_there}: {wrong}")


def show_audited(report: Report) -> None:
    """Prints the totals of their verdicts, and a block for each failure."""
    out, report = console(), shown(report)
    failures = groups(v for v in report.verdicts if v.status in ("fail", "error"))
    for group, cause in zip(failures, usual_causes(failures, likely_cause), strict=True):
        out.print(block(group, *cause))
        out.print()
    out.print(totals_line(report))
    out.print(Text(cost_line(report), "bright_black"))
