"""The baseline: what an audit found of every cell, one line each, small enough to be kept and read in a diff.

A partial run can never become one, and a failed one only with a reason, which stands in the row of each failure.
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
from parity.core.records import RecordError, in_words, parsed, record_bytes, validated
from parity.tools.gate.report_digest import Cell, Judged, JudgedReport, versions_of
from reference.errors import brief

FORMAT = 2
NOT_KEPT = ("--out", "--cache", "--jobs")
SHOWN_FINDING = 80
"""Letters of what was said that a row keeps of a cell without a divergent tensor."""
MAKES_ONE = "parity gate REPORT --baseline FILE --update"


class Row(NamedTuple):
    """What was found of one cell, over all runs that the baseline was made from."""

    status: Literal["pass", "known", "skip", "fail"]
    low: float | None = None
    """Smallest error, as a multiple of tolerance; None where the cell is about no number."""
    high: float | None = None
    """Largest, where runs brought different ones."""
    entry: str = ""
    """Of a ``known`` one, the known issues' or that of a file of known issues; of a ``fail`` the reason it was
    accepted."""
    found: str = ""
    """Of a ``fail`` or ``known`` one the first divergent tensor; of a ``fail`` without one what was said, its numbers
    left out; of a ``skip`` what is missing. Empty where several runs of a ``known`` one begin at different tensors."""

    @property
    def largest(self) -> float:
        """Largest error of all runs, as a multiple of tolerance; 0 where there is no number."""
        return self.high or self.low or 0.0


Accepted = Callable[[Judged], str]
"""From a failing verdict to the reason for which it is accepted, "" where it is not."""

Rows = dict[str, dict[str, dict[str, dict[str, Row]]]]
"""By checkpoint, subject, check and case."""


class Origin(BaseModel):
    """One run that a baseline was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: list[str]
    started: str
    parity_version: str
    environments: dict[str, dict[str, str]]
    """By stack: Python, processor and the version of every library."""


class Baseline(BaseModel):
    """What ``reports/baseline.json`` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline: Literal[2] = FORMAT
    """Version of this format; its presence tells a baseline from a report."""
    strict: bool = False
    runs: list[Origin]
    checkpoints: dict[str, str]
    """Digests by name."""
    cells: Rows

    def rows(self) -> Iterator[tuple[Cell, Row]]:
        """Every cell with its row."""
        for checkpoint, subjects in self.cells.items():
            for subject, checks in subjects.items():
                for check, cases in checks.items():
                    for case, row in cases.items():
                        yield Cell(checkpoint, subject, check, case), row


def read_baseline(path: Path) -> Baseline:
    """Reads a baseline back.

    Raises:
        RecordError: it is missing, no JSON, no baseline, or made from a failed run.
    """
    try:
        content = record_bytes(path)
    except RecordError as error:
        hint = f"; {MAKES_ONE} makes it" if isinstance(error.__cause__, FileNotFoundError) else ""
        raise RecordError(f"{error}{hint}") from error
    try:
        baseline = validated(Baseline, content)
    except ValidationError as error:
        raise RecordError(f"{path}: {_unfit(content, error)}") from error
    for cell, row in baseline.rows():
        if row.status == "fail" and not row.entry:
            cause = "is fail, and no reason is recorded: the baseline of a failed run is none"
            raise RecordError(f"{path}: {' · '.join(cell)} {cause}")
    return baseline


def _unfit(content: bytes, error: ValidationError) -> str:
    try:
        data = parsed(content)
    except ValueError as broken:
        return str(broken)
    if not isinstance(data, dict) or data.get("baseline") is None:
        return f"no baseline: {MAKES_ONE} makes one of a report"
    if data["baseline"] != FORMAT:
        return f"baseline format {brief(data['baseline'])}, this version reads {FORMAT}"
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["loc"][:1] == ("cells",) and first.get("input") in ("fail", "error"):
        return f"{printable(place)} is {first['input']}: the baseline of a failed run is none"
    return in_words(error)


def baseline_of(paths: Sequence[Path], reports: Sequence[JudgedReport], accepted: Accepted | None = None) -> Baseline:
    """What several runs of the same audit agree on, with the range of each error.

    Args:
        accepted: gives the reason for which a failing cell is accepted, "" where there is none; by default none is.

    Raises:
        RecordError: one of the runs failed, was judged in part, asked nothing, or they disagree.
    """
    rows: dict[Cell, Row] = {}
    for path, report in zip(paths, reports, strict=True):
        _could_be_baseline(path, report, accepted or (lambda verdict: ""))
        found = rows_of(report, accepted)
        rows = rows or found
        if differs := next((cell for cell in sorted(rows.keys() | found) if not _alike(rows, found, cell)), None):
            raise RecordError(f"{path}: not what {paths[0]} found: {' · '.join(differs)}; what flickers is no baseline")
        rows = {cell: _joined(rows[cell], row) for cell, row in found.items()}
    nested: Rows = {}
    for cell, row in sorted(rows.items()):
        place = nested.setdefault(cell.checkpoint, {}).setdefault(cell.subject, {}).setdefault(cell.check, {})
        place[cell.case] = row
    first = reports[0]
    checkpoints = {each.name: each.digest for each in first.checkpoints}
    return Baseline(
        strict=first.strict, runs=[_origin(report) for report in reports], checkpoints=checkpoints, cells=nested
    )


def rows_of(report: JudgedReport, accepted: Accepted | None = None) -> dict[Cell, Row]:
    """A row for each verdict, whatever it is."""
    return {verdict.cell: _row(verdict, accepted) for verdict in report.verdicts}


def finding_of(verdict: Judged) -> str:
    """What a verdict rests on, without numbers, which another run may change.

    Returns:
        The first divergent tensor; else, of a skip, what is missing, the reason up to its colon; of a failure what was
        said; of a pass, or of a known issue, whose entry says it, nothing.
    """
    if verdict.first_divergence is not None:
        return verdict.first_divergence.tensor
    if verdict.status in ("pass", "known"):
        return ""
    said = " ".join(verdict.reason[:4000].split())
    if verdict.status == "skip":
        said = said.partition(":")[0]
    return re.sub(r"0x[0-9a-fA-F]+|-?\d+(\.\d+)?(e[-+]?\d+)?", "#", said)[:SHOWN_FINDING]


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Writes it whole or not at all: sorted, indented, a line for each cell."""
    data = baseline.model_dump(exclude={"cells"})
    data["cells"] = {
        checkpoint: {
            subject: {check: {case: _trimmed(row) for case, row in cases.items()} for check, cases in checks.items()}
            for subject, checks in subjects.items()
        }
        for checkpoint, subjects in baseline.cells.items()
    }
    write_whole(path, "\n".join(_indented(data)) + "\n")


def _could_be_baseline(path: Path, report: JudgedReport, accepted: Accepted) -> None:
    totals, why = report.totals, ""
    failing = [verdict for verdict in report.verdicts if verdict.status == "fail"]
    if totals.error or not all(accepted(verdict) for verdict in failing):
        why = f"{totals.fail} fail, {totals.error} error: a failed run"
    elif report.selected:
        why = f"only {', '.join(report.selected)} was judged: a partial run"
    elif not totals.passed and not totals.known and not failing:
        why = "nothing was asked: an empty run"
    if why:
        hint = " (--accept-failures --reason TEXT takes its failures)" if totals.fail and not totals.error else ""
        raise RecordError(f"{path}: {why} cannot become the baseline{hint}")


def _row(verdict: Judged, accepted: Accepted | None) -> Row:
    entry = verdict.evidence.known_issue if verdict.status == "known" else ""
    if verdict.status == "fail" and accepted is not None:
        entry = accepted(verdict)
    # A run that is compared may have errors; a baseline, which is read back as these four, is never made of one.
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


def _asked(words: Sequence[str]) -> list[str]:
    """A command's words without where its files went and how many processes ran, which is another on each machine."""
    kept, skipped = [], False
    for word in words:
        name, given, _ = word.partition("=")
        if not skipped and name not in NOT_KEPT:
            kept.append(word)
        skipped = not skipped and name in NOT_KEPT and not given
    return kept


def _origin(report: JudgedReport) -> Origin:
    return Origin(
        command=["parity", *_asked(report.command[1:])],
        started=report.started,
        parity_version=report.parity_version,
        environments={name: versions_of(facts) for name, facts in report.environments.items()},
    )


def _trimmed(row: Row) -> list[Any]:
    """Without the fields at its end that say nothing."""
    values = list(row)
    while values[-1] in (None, ""):
        values.pop()
    return values


def _indented(data: Any, name: str = "", depth: int = 0, last: bool = True) -> Iterable[str]:
    """The lines of nested objects; anything else stands on one line, so that a diff shows one cell a line."""
    head, comma = " " * depth + (f"{json.dumps(name)}: " if name else ""), "" if last else ","
    if not isinstance(data, dict) or not data:
        yield f"{head}{json.dumps(data)}{comma}"
        return
    yield f"{head}{{"
    for place, (key, value) in enumerate(data.items(), 1):
        yield from _indented(value, key, depth + 1, place == len(data))
    yield f"{' ' * depth}}}{comma}"
