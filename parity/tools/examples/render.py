"""Prints the results of documented examples on the terminal, and writes them as a Markdown page."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from parity.core.display import printable, sentence, shown
from parity.core.records import write_record
from parity.report.console import console, duration, plural
from parity.report.progress import SECONDS_BETWEEN_LINES, LiveBar
from parity.tools.examples.markdown import SHOWN, Wrong, first_line, page, with_it, wrong_ones
from parity.tools.examples.results import DocsReport, SourceRecord, Status

STYLES: dict[Status, str] = {"breaks": "bold red", "differs": "bold red", "holds": "green", "not compared": "yellow"}


class DocsProgress(LiveBar):
    """Call it with what is read or run, and the number of examples."""

    def __init__(self) -> None:
        super().__init__("reading")
        self._last_line = 0.0

    def __call__(self, what: str, done: int = 0, total: int = 0, problem: str = "") -> None:
        if self._console.is_terminal:
            self._bar.update(self._task, description=printable(what, 200), completed=done, total=total or None)
        elif problem or done < 2 or done == total or time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            counted = f"{done} of {total} examples: " if total else ""
            line = f"{counted}{printable(what)}" + (f": {sentence(problem)}" if problem else "")
            self._print(line)


def write_docs(report: DocsReport, directory: Path) -> None:
    """Writes ``documented.json`` and ``documented.md`` into a run's directory.

    Raises:
        OSError: it cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_record(report, directory / "documented.json")
    (directory / "documented.md").write_text(page(report), encoding="utf-8")


def show_docs(report: DocsReport) -> None:
    """Prints the counts by stack, the pages' blocks, and every example that does not hold."""
    out, report = console(), shown(report)
    for source in report.sources:
        if source.error:
            out.print(Text(f"{source.name}: {source.error}", "bold red" if not source.blocks else ""))
        elif source.kind == "page":
            out.print(Text(page_line(source)))
    out.print(_table(report))
    for stack in report.stacks:
        if stack.absent and any(source.stack == stack.name for source in report.sources):
            out.print(Text(f"{stack.name} has no {', '.join(stack.absent)}"))
    for why, count in Counter(each.reason for each in report.examples if each.status == "not run").items():
        out.print(Text(f"{plural(count, 'example')} not run: {why}"))
    for wrong in wrong_ones(report):
        out.print(_failure(wrong, report))
    for example in report.examples:
        if example.wrote_outside:
            out.print(Text(f"{example.name} wrote outside its folder: {', '.join(example.wrote_outside)}", "bold red"))
    for path in report.changed:
        out.print(Text(f"changed while the examples ran: {path}"))
    out.print(Text(f"{plural(len(report.examples), 'example')} in {duration(report.seconds)}"))


def page_line(source: SourceRecord) -> str:
    """``bart.md: 70 blocks: 27 session, 1 script, 42 signature``."""
    kinds = Counter(block.kind for block in source.blocks)
    return f"{source.name}: {plural(len(source.blocks), 'block')}: " + ", ".join(
        f"{count} {kind}" for kind, count in kinds.items()
    )


def _table(report: DocsReport) -> Table:
    table = Table("stack", "", "found", *SHOWN, box=None, pad_edge=False)
    for stack in report.stacks:
        for what, counts in (("examples", report.totals.examples), ("statements", report.totals.statements)):
            own = counts.get(stack.name, {})
            table.add_row(
                f"{stack.name} (transformers {stack.versions.get('transformers', '?')})",
                what,
                str(sum(own.values())),
                *(Text(str(own.get(status, 0)), STYLES.get(status, "") if own.get(status) else "") for status in SHOWN),
            )
    return table


def _failure(wrong: Wrong, report: DocsReport) -> Text:
    example, statement = wrong.first, wrong.statement
    more = len(wrong.names) - 1
    others = f" and {more} more with the same code" if more else ""
    text = Text(f"\n{wrong.names[0]} {example.status} · {', '.join(wrong.stacks)}{others}\n", "bold red")
    text.append(f"  line     {statement.line}: {first_line(statement.code)}\n", "")
    text.append(f"  {'raised' if statement.raised else 'why   '}   {statement.reason}\n", "")
    if statement.raised is not None and statement.raised.where:
        text.append(f"  where    {statement.raised.where}\n", "")
    if example.diagnosis:
        text.append(f"  likely   {example.diagnosis}\n", "")
    if example.corrected:
        text.append(f"  correct  {' · '.join(example.corrected.splitlines())}{with_it(example)}\n", "")
    text.append(f"  again    parity doctest {_again(wrong, report)}\n", "")
    return text


def _again(wrong: Wrong, report: DocsReport) -> str:
    """The command that runs the same example again: with the page's path as given, as its short name may not be
    found."""
    name, source = wrong.names[0], wrong.first.source
    page = next((each for each in report.command if Path(each).name == source), source)
    real = "" if report.mode == "stand-in" else f" --checkpoints {report.mode}"
    where = f"--stack {wrong.first.stack}{real} --example"
    in_page = source != name.partition("#")[0]
    return f"{shlex.quote(page)} {where} {shlex.quote(name)}" if in_page else f"--installed {where} {name}"
