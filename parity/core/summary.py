"""A report in one line, as an HTML table and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from parity.core.display import printable, sentence
from parity.core.failure import failures_of, finding
from parity.core.records import Report

if TYPE_CHECKING:
    import pandas

SHOWN_NAMES = 3
"""Checkpoints that the line names."""
SHOWN_FAILURES = 10
"""Failures that the table has a row for."""
WORDS = {0: "PASSED", 1: "FAILED", 2: "INCOMPLETE"}
"""By exit code."""
COLUMNS = ("check", "status", "checkpoint", "case", "backend", "dtype", "device", "finding", "reproduce")
_CELL = ("checkpoint", "model_class", "check", "case", "backend", "variant", "stack", "device", "dtype", "status")
_NUMBERS = ("error", "tolerance", "ratio")


def one_line(report: Report) -> str:
    """``<Report bart-odd: 402 cells: 380 pass, 2 fail; first failure NUM01 hf-torch: encoder.hidden.1 …>``."""
    text = f"{_checkpoints(report)}: {_totals(report)}"
    failure = next(iter(failures_of(report)), None)
    if failure is not None:
        text += f"; first failure {failure.check} {failure.subject_label}: {sentence(finding(failure), 300)}"
    return printable(f"<Report {text}>", 1000)


def html_of(report: Report) -> str:
    """Totals, what did not run, and a table of the first failures. Every text is escaped; there is no script."""
    head = f"<p><strong>{WORDS[report.exit_code]}</strong> {_escaped(_checkpoints(report))}: {_totals(report)}</p>"
    notes = [each.cause for each in report.unreadable] + [f"not run: {line}" for line in report.not_run]
    listed = "".join(f"<li>{_escaped(note)}</li>" for note in notes)
    return f"<div>{head}{f'<ul>{listed}</ul>' if listed else ''}{''.join(_table(report))}</div>"


def frame_of(report: Report) -> pandas.DataFrame:
    """One row per cell; ``Report.to_frame`` documents the columns.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("Report.to_frame needs pandas, which is not installed: pip install pandas") from error
    columns: dict[str, Any] = {name: [getattr(each, name) for each in report.verdicts] for name in _CELL}
    for name in _NUMBERS:
        columns[name] = pandas.Series([getattr(each, name) for each in report.verdicts], dtype="float64")
    firsts = [each.first_divergence for each in report.verdicts]
    for name in ("tensor", "index"):
        values = [None if first is None else getattr(first, name) for first in firsts]
        columns[name] = pandas.Series(values, dtype=object)
    columns["reason"] = [each.reason for each in report.verdicts]
    return pandas.DataFrame(columns)


def _checkpoints(report: Report) -> str:
    names = [printable(each.name, 100) for each in report.checkpoints]
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _totals(report: Report) -> str:
    counts = report.totals.model_dump(by_alias=True)
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "pass")
    return f"{len(report.verdicts)} {'cell' if len(report.verdicts) == 1 else 'cells'}: {words}"


def _table(report: Report) -> Iterator[str]:
    failures = failures_of(report)
    if not failures:
        return
    yield f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in COLUMNS)}</tr></thead><tbody>"
    for each in failures[:SHOWN_FAILURES]:
        cells = (each.check, each.status, each.checkpoint, each.case, each.subject_label, each.dtype, each.device)
        texts = "".join(f"<td>{_escaped(text)}</td>" for text in (*cells, sentence(finding(each), 300)))
        yield f"<tr>{texts}<td><code>{_escaped(each.reproduce, 1000)}</code></td></tr>"
    yield "</tbody></table>"
    if len(failures) > SHOWN_FAILURES:
        yield f"<p>and {len(failures) - SHOWN_FAILURES} more failures</p>"


def _escaped(text: str, limit: int = 300) -> str:
    return escape(printable(text, limit))
