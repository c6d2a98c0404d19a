"""Compares two fleets, before and after an upgrade, as ``parity gate`` compares a report with its baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from parity.core.records import RecordError
from parity.fleet.folder import Folder
from parity.fleet.outcome import Outcome
from parity.fleet.table import verdict_of
from parity.tools.gate.baseline import row_of
from parity.tools.gate.gate import Change, Kind, changes
from parity.tools.gate.report_digest import VerdictSummary

FAILING: tuple[Kind, ...] = ("worse", "diverges", "vanished")
"""Changes that fail the gate; the others are listed. Errors move within a tolerance with every version."""
SAME = ("checks", "keywords", "strict", "case_set", "layerwise")
"""Options of which two fleets can differ only if their cells are not comparable."""


@dataclass(frozen=True)
class FleetGate:
    """The result of a comparison."""

    changes: Sequence[Change]
    checkpoints: int
    """Audited in the fleet after."""
    lost: Sequence[str]
    """Labels of checkpoints that were audited before, with why they are not now."""
    replaced: Sequence[str]
    """Labels of checkpoints whose files differ."""
    versions: Sequence[str]
    """Versions that differ: ``main: torch 2.12.0 → 2.13.0``."""

    @property
    def failing(self) -> int:
        """The number of changes that fail the gate."""
        return sum(change.kind in FAILING for change in self.changes)

    @property
    def passed(self) -> bool:
        return not self.failing and not self.lost


def gate(before: Folder, after: Folder) -> FleetGate:
    """Compares the cells of two fleets.

    Raises:
        InputError: ``RecordError`` (one is no fleet or is damaged, they were asked for different checks, or share no
            checkpoint), or pyarrow is not installed.
    """
    was, now = before.asked(), after.asked()
    if differs := [name for name in SAME if was.get(name) != now.get(name)]:
        raise RecordError(f"{after}: was made with another {', '.join(differs)} than {before}")
    # A name is that of a line of the list and a device, whatever commit a branch is at.
    old, new = ({each.name: each for each in folder.outcomes()} for folder in (before, after))
    if not old.keys() & new.keys():
        raise RecordError(f"{after}: shares no checkpoint with {before}")
    found: list[Change] = []
    lost, replaced = [], []
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if one is not None and one.state == "audited" and (other is None or other.state != "audited"):
            lost.append(f"{one.label}: {'not in the list' if other is None else f'{other.state}: {other.reason}'}")
        if other is None or other.state != "audited":
            continue
        known = {}
        if one is not None and one.state == "audited":
            known = {each.cell: row_of(each) for each in _verdicts(before, one, other.label)}
            if one.digest != other.digest:
                replaced.append(other.label)
        found += changes(known, _verdicts(after, other, other.label))
    audited = sum(each.state == "audited" for each in new.values())
    return FleetGate(found, audited, lost, replaced, list(_versions(old.values(), new.values())))


def _verdicts(folder: Folder, outcome: Outcome, label: str) -> Iterator[VerdictSummary]:
    yield from (verdict_of(row, label) for row in folder.rows(outcome))


def _versions(before: Iterable[Outcome], after: Iterable[Outcome]) -> Iterator[str]:
    old, new = _found(before), _found(after)
    for stack, name in sorted(old.keys() & new.keys()):
        if old[stack, name] != new[stack, name]:
            one, other = (", ".join(sorted(found[stack, name])) for found in (old, new))
            yield f"{stack}: {name} {one} → {other}"


def _found(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], set[str]]:
    """The versions of each library by stack."""
    found: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        for stack, versions in outcome.versions.items():
            for name, version in versions.items():
                found.setdefault((stack, name), set()).add(version)
    return found
