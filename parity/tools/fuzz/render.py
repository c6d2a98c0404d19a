"""Terminal output of ``parity fuzz``: failures, the largest error that passed, and coverage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from parity.core.display import printable, sentence, shown
from parity.report.console import console, duration, plural, status_text

if TYPE_CHECKING:
    from parity.core.records import Verdict
    from parity.tools.fuzz.search import Failure, Found

SECONDS_BETWEEN_LINES = 15.0


class FuzzProgress:
    """Prints progress lines on standard error at intervals."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._began = time.monotonic()
        self._last = float("-inf")

    def __call__(self, found: Found, doing: str) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last, examples = now, found.coverage.examples
        what = f"{plural(examples, 'example')}, {plural(len(found.failures), 'failure')}; {doing}"
        self._console.print(f"[{duration(now - self._began)}] {what}", markup=False)


def show_fuzz(found: Found, out: Path) -> None:
    """Prints the coverage of the configuration space, then every failure, then the figures."""
    printer = console()
    table = Table("axis", "values seen, in how many examples", "not seen", box=box.SIMPLE_HEAD, pad_edge=False)
    missing = found.coverage.missing()
    for axis, counts in found.coverage.counts.items():
        seen = ", ".join(f"{value} {count}" for value, count in sorted(counts.items(), key=_order))
        table.add_row(axis, seen, ", ".join(map(str, missing.get(axis, []))))
    printer.print(table)
    for failure in found.failures:
        for line in _failure_lines(failure, out):
            printer.print(line, markup=False)
    for line in figures(found):
        printer.print(line, markup=False)


def _order(item: tuple[Any, int]) -> tuple[bool, Any]:
    value = item[0]
    return isinstance(value, str), value


def _failure_lines(failure: Failure, out: Path) -> Iterator[str]:
    verdict, example = failure.verdict, failure.example
    numbers, tokens, _ = example.size
    yield f"{verdict.check} {verdict.status} · {verdict.backend}/{verdict.variant} · {example.family} · {verdict.case}"
    yield f"  {sentence(verdict.reason)}"
    rows = plural(len(example.lengths), "row")
    yield f"  smallest: {numbers} numbers in the model, {plural(tokens, 'token')} in {rows}"
    yield f"  stored in {printable(out)}" + (f"; no script: {sentence(failure.no_script)}" if failure.no_script else "")


def figures(found: Found) -> Iterator[str]:
    """The figures, a line each."""
    seen, total = found.coverage.seen()
    yield f"{plural(found.coverage.examples, 'example')}, {plural(found.cells, 'cell')} in {duration(found.seconds)}"
    yield f"coverage: {seen} of {total} values of {len(found.coverage.counts)} axes"
    yield f"largest error that passed: {found.nearest:.2f} × tolerance"
    if found.known:
        yield "known: " + ", ".join(f"{name} {count}" for name, count in sorted(found.known.items()))
    yield f"failures: {len(found.failures)}"


def show_again(verdicts: list[Verdict]) -> None:
    """Prints the current verdicts of a stored example: cells that are neither pass nor skip, and the totals."""
    printer, verdicts = console(), shown(verdicts)
    for verdict in verdicts:
        if verdict.status not in ("pass", "skip"):
            where = f"{verdict.check} {verdict.case} {verdict.backend}/{verdict.variant}"
            printer.print(status_text(verdict.status), Text(f"{where}: {verdict.reason}"))
    totals = Counter(verdict.status for verdict in verdicts)
    printer.print(", ".join(f"{count} {status}" for status, count in totals.items()), markup=False)
