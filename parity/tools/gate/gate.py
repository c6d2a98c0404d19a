"""The gate in CI: compares each verdict of a report with the stored baseline.

A changed verdict fails, and so does an error that left its measured range. An improvement fails too, because an
unexpected pass may mean that a comparison stopped working. To accept a change, update the baseline and give the reason
in the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from parity.core.records import RecordError, Status
from parity.tools.gate.baseline import Baseline, Row, baseline_of, finding_of, read_baseline, write_baseline
from parity.tools.gate.report_digest import Cell, ReportDigest, VerdictSummary, read_digest, versions_of

Kind = Literal["worse", "vanished", "diverges", "grew", "moved", "better", "shrank", "new"]
REGRESSIONS: tuple[Kind, ...] = ("worse", "vanished", "diverges", "grew", "moved")

SPREAD = 0.4
"""The change of a rounding error between two runs, as a multiple of tolerance, that is allowed beyond the range of the
baseline's own runs.

Another machine sums in another order, as another framework or attention implementation does. In the audit of all
fixtures in three
stacks (transformers 4.57.6, 4.37.2 and 5.23.0), any two libraries' errors in one passing cell are at most 0.37 ×
tolerance apart, over 15,688 pairs. Of the 378 errors in two fixtures, repeating the audit without a cache changed none;
without vector instructions newer than SSE4.2, as on another machine, 266 changed, by up to 0.15."""
FACTOR = 3.0
"""The allowed factor for an error out of tolerance, of a known issue: at most 2.6 over 609 pairs."""


@dataclass(frozen=True)
class Change:
    """One cell that differs from the baseline."""

    kind: Kind
    """``worse``: a worse verdict, or another failure than the accepted one. ``vanished``: the cell is missing.
    ``diverges``: a new failure or known issue. ``grew``, ``shrank``: the error changed beyond its spread. ``moved``:
    the
    same verdict with another first divergence or skip reason. ``better``: a better verdict. ``new``: a new cell that
    passes or is skipped."""
    cell: Cell
    before: Row | None
    after: VerdictSummary | None

    @property
    def regression(self) -> bool:
        return self.kind in REGRESSIONS


@dataclass(frozen=True)
class GateResult:
    """The result of a gate."""

    report: ReportDigest
    changes: list[Change]
    versions: list[str]
    """Versions that differ from the baseline's: ``main: torch 2.12.0 → 2.13.0``."""

    @property
    def passed(self) -> bool:
        return not self.changes


def gate(report: Path, baseline: Path) -> GateResult:
    """Compares a report with a baseline.

    Args:
        report: ``report.json``, or the run directory that contains it.
        baseline: a file written by ``parity gate --update``.

    Raises:
        RecordError: one of them cannot be read, or they are about different checkpoints.
    """
    known, found = read_baseline(baseline), read_digest(report)
    _comparable(known, found, report, baseline)
    return GateResult(found, list(changes(dict(known.rows()), found.verdicts)), list(_versions(known, found)))


def update(reports: Sequence[Path], baseline: Path, *, drop: bool = False, accept_failures: str = "") -> list[Change]:
    """Creates a baseline from runs of one audit, or updates an existing one.

    Rows that the gate accepts are not rewritten, so that a diff shows only changes. Failures that were accepted before
    stay accepted while they are the same.

    Args:
        reports: reports of the same audit; the range of their errors is recorded.
        drop: allow cells of the baseline that are missing in the runs.
        accept_failures: the reason for accepting failing cells, recorded in their rows; "" accepts none. An error is
            never accepted.

    Returns:
        The changes; empty for a new baseline.

    Raises:
        RecordError: a file cannot be read, a run cannot become a baseline (``baseline_of``), or cells are missing.
    """
    found = [read_digest(path) for path in reports]
    known = read_baseline(baseline) if baseline.exists() else None
    rows = dict(known.rows()) if known else {}

    def accepted(verdict: VerdictSummary) -> str:
        row = rows.get(verdict.cell)
        if accept_failures or row is None or row.status != "fail" or row.found != finding_of(verdict):
            return accept_failures
        return row.entry

    new = baseline_of(reports, found, accepted)
    if known is None:
        write_baseline(new, baseline)
        return []
    changed = list(changes(rows, found[-1].verdicts))
    vanished = [change.cell for change in changed if change.kind == "vanished"]
    if vanished and not drop:
        raise RecordError(
            f"{reports[-1]}: lacks {len(vanished)} cells of {baseline}, first {' · '.join(vanished[0])}: a partial run "
            "cannot become the baseline (--allow-removed accepts their removal)"
        )
    write_baseline(_renewed(known, new, {change.cell for change in changed}), baseline)
    return changed


def changes(known: Mapping[Cell, Row], found: Iterable[VerdictSummary]) -> Iterator[Change]:
    """Every cell that differs from its row, in the order of the verdicts, then the vanished ones."""
    rows = dict(known)
    for verdict in found:
        row = rows.pop(verdict.cell, None)
        if kind := _kind(row, verdict):
            yield Change(kind, verdict.cell, row, verdict)
    for cell, row in rows.items():
        yield Change("vanished", cell, row, None)


def _kind(before: Row | None, after: VerdictSummary) -> Kind | None:
    """The kind of change of a cell; None if it is unchanged."""
    if before is None:
        return "new" if after.status in ("pass", "skip") else "diverges"
    if before.status != after.status:
        return _turned(before.status, after.status)
    if after.status == "known" and after.evidence.known_issue != before.entry:
        return "diverges"
    if after.status == "fail" and finding_of(after) != before.found:
        return "worse"
    if after.status in ("known", "skip") and before.found and finding_of(after) != before.found:
        return "moved"
    return _error_moved(before, after.ratio or 0.0)


def _turned(before: Status, after: Status) -> Kind:
    if after in ("fail", "error"):
        return "worse"
    if after == "known":
        return "better" if before == "fail" else "diverges"
    return "better" if after == "pass" else "worse"


def _error_moved(before: Row, now: float) -> Kind | None:
    if now > _limit(before.largest):
        return "grew"
    return "shrank" if _limit(now) < (before.low or 0.0) else None


def _limit(error: float) -> float:
    """The largest allowed error in another run, as a multiple of tolerance."""
    return error * FACTOR if error > 1 else error + SPREAD


def _comparable(known: Baseline, found: ReportDigest, report: Path, baseline: Path) -> None:
    if found.selected:
        raise RecordError(f"{report}: only {', '.join(found.selected)} was judged; {baseline} covers every check")
    if found.strict != known.strict:
        how = ("with", "without") if found.strict else ("without", "with")
        raise RecordError(f"{report}: judged {how[0]} --strict, and {baseline} {how[1]}")
    given = {each.name: each.digest for each in found.checkpoints}
    for name, digest in known.checkpoints.items():
        if name not in given:
            raise RecordError(f"{report}: has no {name}, which is in {baseline}: audit the same checkpoints")
        if given[name] != digest:
            raise RecordError(f"{report}: the files of {name} differ from those in {baseline}")


def _versions(known: Baseline, found: ReportDigest) -> Iterator[str]:
    before = known.runs[-1].environments if known.runs else {}
    for stack, facts in found.environments.items():
        old, new = before.get(stack, {}), versions_of(facts)
        for name in sorted(old.keys() | new) if old else ():
            if old.get(name) != new.get(name):
                yield f"{stack}: {name} {old.get(name, 'none')} → {new.get(name, 'none')}"


def _renewed(known: Baseline, new: Baseline, changed: set[Cell]) -> Baseline:
    for cell, row in known.rows():
        if cell not in changed:
            new.cells[cell.checkpoint][cell.subject][cell.check][cell.case] = row
    earlier = [run for run in known.runs if run.environments not in [each.environments for each in new.runs]]
    return new.model_copy(update={"runs": [*earlier, *new.runs]})
