"""The baseline: the verdict of every cell of an audit, one line each, for version control and diffs.

A partial run cannot become a baseline. A failed run can only with a reason, which is recorded with each failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from parity.core.display import printable
from parity.core.files import write_whole
from parity.core.records import RecordError, format_validation_error, parsed, record_bytes, validated
from parity.tools.gate.report_digest import Cell, ReportDigest, VerdictSummary, versions_of
from reference.errors import brief

FORMAT = 2
NOT_RECORDED = ("--out", "--cache", "--jobs")
SHOWN_FINDING = 80
"""Characters of the reason that a row records for a cell without a divergent tensor."""
UPDATE_COMMAND = "parity gate REPORT --baseline FILE --update"


class Row(NamedTuple):
    """The result of one cell over all runs of the baseline."""

    status: Literal["pass", "known", "skip", "fail"]
    low: float | None = None
    """The smallest error, as a multiple of tolerance; None without a numeric comparison."""
    high: float | None = None
    """The largest error, if the runs differ."""
    entry: str = ""
    """For ``known`` the id of the known issue; for ``fail`` the reason for accepting it."""
    found: str = ""
    """For ``fail`` and ``known`` the first divergent tensor; for ``fail`` without one the reason without numbers; for
    ``skip`` the missing capability. Empty if the first divergences of several runs of a ``known`` cell differ."""

    @property
    def largest(self) -> float:
        """The largest error of all runs, as a multiple of tolerance; 0 without a numeric comparison."""
        return self.high or self.low or 0.0


Accepted = Callable[[VerdictSummary], str]
"""Maps a failing verdict to the reason for accepting it; "" if it is not accepted."""

Rows = dict[str, dict[str, dict[str, dict[str, Row]]]]
"""By checkpoint, subject, check and case."""


class Origin(BaseModel):
    """One run of a baseline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: list[str]
    started: str
    parity_version: str
    environments: dict[str, dict[str, str]]
    """By stack: Python, processor and the version of every library."""


class Baseline(BaseModel):
    """The content of ``reports/baseline.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline: Literal[2] = FORMAT
    """The version of this format. A report does not have this field."""
    strict: bool = False
    runs: list[Origin]
    checkpoints: dict[str, str]
    """Digests by name."""
    cells: Rows

    def rows(self) -> Iterator[tuple[Cell, Row]]:
        """Yields every cell with its row."""
        for checkpoint, subjects in self.cells.items():
            for subject, checks in subjects.items():
                for check, cases in checks.items():
                    for case, row in cases.items():
                        yield Cell(checkpoint, subject, check, case), row


def read_baseline(path: Path) -> Baseline:
    """Reads a baseline.

    Raises:
        RecordError: the file is missing, not JSON or not a baseline, or has a failure without a reason.
    """
    try:
        content = record_bytes(path)
    except RecordError as error:
        hint = f"; {UPDATE_COMMAND} creates it" if isinstance(error.__cause__, FileNotFoundError) else ""
        raise RecordError(f"{error}{hint}") from error
    try:
        baseline = validated(Baseline, content)
    except ValidationError as error:
        raise RecordError(f"{path}: {_explain_invalid(content, error)}") from error
    for cell, row in baseline.rows():
        if row.status == "fail" and not row.entry:
            cause = "is fail without a reason: a failed run cannot be a baseline"
            raise RecordError(f"{path}: {' · '.join(cell)} {cause}")
    return baseline


def _explain_invalid(content: bytes, error: ValidationError) -> str:
    try:
        data = parsed(content)
    except ValueError as broken:
        return str(broken)
    if not isinstance(data, dict) or data.get("baseline") is None:
        return f"not a baseline: {UPDATE_COMMAND} creates one from a report"
    if data["baseline"] != FORMAT:
        return f"baseline format {brief(data['baseline'])}, this version reads {FORMAT}"
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["loc"][:1] == ("cells",) and first.get("input") in ("fail", "error"):
        return f"{printable(where)} is {first['input']}: a failed run cannot be a baseline"
    return format_validation_error(error)


def baseline_of(paths: Sequence[Path], reports: Sequence[ReportDigest], accepted: Accepted | None = None) -> Baseline:
    """The baseline of several runs of the same audit, with the range of each error.

    Args:
        accepted: returns the reason for accepting a failing cell, "" for none; by default no failure is accepted.

    Raises:
        RecordError: a run failed, was judged in part, or ran nothing, or the runs disagree.
    """
    rows: dict[Cell, Row] = {}
    for path, report in zip(paths, reports, strict=True):
        _could_be_baseline(path, report, accepted or (lambda verdict: ""))
        found = rows_of(report, accepted)
        rows = rows or found
        if differs := next((cell for cell in sorted(rows.keys() | found) if not _alike(rows, found, cell)), None):
            raise RecordError(
                f"{path}: differs from {paths[0]}: {' · '.join(differs)}; a flaky cell cannot be in a baseline"
            )
        rows = {cell: _joined(rows[cell], row) for cell, row in found.items()}
    nested: Rows = {}
    for cell, row in sorted(rows.items()):
        cases = nested.setdefault(cell.checkpoint, {}).setdefault(cell.subject, {}).setdefault(cell.check, {})
        cases[cell.case] = row
    first = reports[0]
    checkpoints = {each.name: each.digest for each in first.checkpoints}
    return Baseline(
        strict=first.strict, runs=[_origin(report) for report in reports], checkpoints=checkpoints, cells=nested
    )


def rows_of(report: ReportDigest, accepted: Accepted | None = None) -> dict[Cell, Row]:
    """A row for each verdict."""
    return {verdict.cell: row_of(verdict, accepted) for verdict in report.verdicts}


def finding_of(verdict: VerdictSummary) -> str:
    """A short description of a verdict without numbers, which may change between runs.

    Returns:
        The first divergent tensor; without one, for a skip the reason up to its colon, for a failure its reason, and
        for a pass or a known issue "".
    """
    if verdict.first_divergence is not None:
        return verdict.first_divergence.tensor
    if verdict.status in ("pass", "known"):
        return ""
    reason = " ".join(verdict.reason[:4000].split())
    if verdict.status == "skip":
        reason = reason.partition(":")[0]
    return re.sub(r"0x[0-9a-fA-F]+|-?\d+(\.\d+)?(e[-+]?\d+)?", "#", reason)[:SHOWN_FINDING]


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Writes a baseline atomically: sorted and indented, one line for each cell."""
    data = baseline.model_dump(exclude={"cells"})
    data["cells"] = {
        checkpoint: {
            subject: {check: {case: _trimmed(row) for case, row in cases.items()} for check, cases in checks.items()}
            for subject, checks in subjects.items()
        }
        for checkpoint, subjects in baseline.cells.items()
    }
    write_whole(path, "\n".join(_indented(data)) + "\n")


def _could_be_baseline(path: Path, report: ReportDigest, accepted: Accepted) -> None:
    totals, why = report.totals, ""
    failing = [verdict for verdict in report.verdicts if verdict.status == "fail"]
    if totals.error or not all(accepted(verdict) for verdict in failing):
        why = f"{totals.fail} fail, {totals.error} error: a failed run"
    elif report.selected:
        why = f"only {', '.join(report.selected)} was judged: a partial run"
    elif not totals.passed and not totals.known and not failing:
        why = "nothing was run: an empty run"
    if why:
        hint = " (--accept-failures --reason TEXT accepts its failures)" if totals.fail and not totals.error else ""
        raise RecordError(f"{path}: {why} cannot become the baseline{hint}")


def row_of(verdict: VerdictSummary, accepted: Accepted | None = None) -> Row:
    """The row of a verdict.

    Args:
        accepted: returns the reason for accepting a failing cell; None records no reason.
    """
    entry = verdict.evidence.known_issue if verdict.status == "known" else ""
    if verdict.status == "fail" and accepted is not None:
        entry = accepted(verdict)
    # A compared run may have errors; a baseline has only the four statuses of ``Row``.
    return Row(verdict.status, verdict.ratio, None, entry, finding_of(verdict))  # pyright: ignore[reportArgumentType]


def _alike(rows: Mapping[Cell, Row], found: Mapping[Cell, Row], cell: Cell) -> bool:
    one, other = rows.get(cell), found.get(cell)
    if one is None or other is None or (one.status, one.entry) != (other.status, other.entry):
        return False
    return one.found == other.found or one.status == "known"


def _joined(one: Row, other: Row) -> Row:
    ends = [each for each in (one.low, one.high, other.low, other.high) if each is not None]
    low, high = min(ends, default=None), max(ends, default=None)
    found = one.found if one.found == other.found else ""
    return one._replace(low=low, high=None if high == low else high, found=found)


def _recorded_command(words: Sequence[str]) -> list[str]:
    """The words of a command without options that depend on the machine (``NOT_RECORDED``)."""
    recorded, skipped = [], False
    for word in words:
        name, given, _ = word.partition("=")
        if not skipped and name not in NOT_RECORDED:
            recorded.append(word)
        skipped = not skipped and name in NOT_RECORDED and not given
    return recorded


def _origin(report: ReportDigest) -> Origin:
    return Origin(
        command=["parity", *_recorded_command(report.command[1:])],
        started=report.started,
        parity_version=report.parity_version,
        environments={name: versions_of(facts) for name, facts in report.environments.items()},
    )


def _trimmed(row: Row) -> list[Any]:
    """The fields of a row without empty ones at its end."""
    values = list(row)
    while values[-1] in (None, ""):
        values.pop()
    return values


def _indented(data: Any, name: str = "", depth: int = 0, last: bool = True) -> Iterable[str]:
    """The lines of nested objects, with any other value on one line, so that a diff has one line for each cell."""
    head, comma = " " * depth + (f"{json.dumps(name)}: " if name else ""), "" if last else ","
    if not isinstance(data, dict) or not data:
        yield f"{head}{json.dumps(data)}{comma}"
        return
    yield f"{head}{{"
    for number, (key, value) in enumerate(data.items(), 1):
        yield from _indented(value, key, depth + 1, number == len(data))
    yield f"{' ' * depth}}}{comma}"
