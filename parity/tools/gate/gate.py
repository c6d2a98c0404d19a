"""The gate: a report held against the baseline, cell by cell. Whatever changed fails, for better or worse.

A better verdict that nobody expected is as much a sign of a broken comparison as of a repair: it is accepted by
updating the baseline, in the change that explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from parity.core.records import RecordError, Status
from parity.tools.gate.baseline import Baseline, Row, baseline_of, finding_of, read_baseline, write_baseline
from parity.tools.gate.report_digest import Cell, Judged, JudgedReport, read_judged, versions_of

Kind = Literal["worse", "vanished", "diverges", "grew", "moved", "better", "shrank", "new"]
REGRESSIONS: tuple[Kind, ...] = ("worse", "vanished", "diverges", "grew", "moved")

SPREAD = 0.4
"""Tolerances by which an rounding error may move between two runs, beyond the range that the baseline's own runs
showed.

Another machine sums in another order, as another framework or attention does. In the audit of all fixtures in three
stacks (transformers 4.57.6, 4.37.2 and 5.23.0), any two libraries' errors in one passing cell are at most 0.37 ×
tolerance apart, over 15,688 pairs. Of the 378 errors in two fixtures, the same audit again, from nothing, moved none;
where the libraries might use no vector instruction newer than SSE4.2, as on another machine, 266, by up to 0.15."""
FACTOR = 3.0
"""The same for an error past its tolerance, which a known divergence makes: at most 2.6 times, over 609 pairs."""


@dataclass(frozen=True)
class Change:
    """One cell that is not what the baseline says."""

    kind: Kind
    """``worse`` verdict (or another failure than was accepted), ``vanished`` cell, it newly ``diverges`` (failed, or
    explained by the list of known issues), the error ``grew`` beyond its spread, the same verdict ``moved`` (a known
    issue begins at another tensor, a skip has another reason); ``better`` verdict, the error ``shrank``, a ``new``
    cell that passes or is skipped."""
    cell: Cell
    before: Row | None
    after: Judged | None

    @property
    def regression(self) -> bool:
        return self.kind in REGRESSIONS


@dataclass(frozen=True)
class GateResult:
    """What the gate found."""

    report: JudgedReport
    changes: list[Change]
    versions: list[str]
    """What was computed with another version than the baseline's: ``main: torch 2.12.0 → 2.13.0``."""

    @property
    def passed(self) -> bool:
        return not self.changes


def gate(report: Path, baseline: Path) -> GateResult:
    """Holds a report against a baseline.

    Args:
        report: ``report.json``, or its run's directory.

    Raises:
        RecordError: one of them cannot be read, or they are about different checkpoints.
    """
    known, found = read_baseline(baseline), read_judged(report)
    _comparable(known, found, report, baseline)
    return GateResult(found, list(changes(dict(known.rows()), found)), list(_versions(known, found)))


def update(reports: Sequence[Path], baseline: Path, *, drop: bool = False, accept_failures: str = "") -> list[Change]:
    """Makes a baseline of runs of the same audit, or brings one up to date.

    Rows that the gate would pass stay as they are, so that a diff shows what changed and nothing else; a failure that
    was accepted before, and is the same, among them.

    Args:
        drop: cells that the baseline has and the runs do not are meant to be gone.
        accept_failures: why cells that fail are accepted, recorded in each of their rows; "": none is. An error never
            is.

    Returns:
        What changed; of a new baseline nothing.

    Raises:
        RecordError: a file cannot be read, a run is no baseline (``baseline_of``), or cells would vanish.
    """
    found = [read_judged(path) for path in reports]
    known = read_baseline(baseline) if baseline.exists() else None
    rows = dict(known.rows()) if known else {}

    def accepted(verdict: Judged) -> str:
        row = rows.get(verdict.cell)
        if accept_failures or row is None or row.status != "fail" or row.found != finding_of(verdict):
            return accept_failures
        return row.entry

    new = baseline_of(reports, found, accepted)
    if known is None:
        write_baseline(new, baseline)
        return []
    changed = list(changes(rows, found[-1]))
    vanished = [change.cell for change in changed if change.kind == "vanished"]
    if vanished and not drop:
        raise RecordError(
            f"{reports[-1]}: lacks {len(vanished)} cells of {baseline}, first {' · '.join(vanished[0])}: a partial run "
            "cannot become the baseline (--allow-removed says that they are meant to be gone)"
        )
    write_baseline(_renewed(known, new, {change.cell for change in changed}), baseline)
    return changed


def changes(known: Mapping[Cell, Row], found: JudgedReport) -> Iterator[Change]:
    """Every cell that is not what was known, in the report's order, then those that vanished."""
    rows = dict(known)
    for verdict in found.verdicts:
        row = rows.pop(verdict.cell, None)
        if kind := _kind(row, verdict):
            yield Change(kind, verdict.cell, row, verdict)
    for cell, row in rows.items():
        yield Change("vanished", cell, row, None)


def _kind(before: Row | None, after: Judged) -> Kind | None:
    """What became of a cell; None where it is what it was."""
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
    """What an error may come to in another run, as a multiple of tolerance."""
    return error * FACTOR if error > 1 else error + SPREAD


def _comparable(known: Baseline, found: JudgedReport, report: Path, baseline: Path) -> None:
    if found.selected:
        raise RecordError(f"{report}: only {', '.join(found.selected)} was judged; {baseline} is about every check")
    if found.strict != known.strict:
        how = ("with", "without") if found.strict else ("without", "with")
        raise RecordError(f"{report}: judged {how[0]} --strict, and {baseline} {how[1]}")
    given = {each.name: each.digest for each in found.checkpoints}
    for name, digest in known.checkpoints.items():
        if name not in given:
            raise RecordError(f"{report}: has no {name}, which {baseline} is about: audit the same checkpoints")
        if given[name] != digest:
            raise RecordError(f"{report}: its {name} is another checkpoint than that of {baseline}: the files differ")


def _versions(known: Baseline, found: JudgedReport) -> Iterator[str]:
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
