"""Groups the cells of a fleet: by cause, by stack, and by what passes in one stack and fails in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.core.subject import Subject
from parity.fleet.table import verdict_of
from parity.tools.gate.baseline import finding_of

GOOD = ("pass", "known")
BAD = ("fail", "error")
OF_EVERY_CHECK = ("loading raised ", "the oracle raised, ")
"""How the reason begins where every check of a model fails alike: one cause."""
Row = Mapping[str, Any]


@dataclass
class Group:
    """Cells with the same cause."""

    verdict: str
    """``fail``, ``error`` or ``known``."""
    cause: str
    """The known issue; else the first divergence, or the reason without numbers where there is none."""
    check: str
    """Empty for a known issue, or for a model that cannot be loaded, which show in several."""
    subject: str
    """Label, device and dtype; empty for a known issue."""
    checkpoints: dict[str, int] = field(default_factory=dict)
    """By the name of its files the number of cells."""
    worst: float | None = None
    """The largest error, as a multiple of tolerance."""
    reason: str = ""
    """Of the first cell."""

    @property
    def cells(self) -> int:
        return sum(self.checkpoints.values())

    def add(self, name: str, row: Row) -> None:
        self.checkpoints[name] = self.checkpoints.get(name, 0) + 1
        self.reason = self.reason or row["reason"]
        if row["ratio"] is not None:
            self.worst = max(self.worst or 0.0, row["ratio"])


@dataclass
class Upgrade:
    """What passes in one stack and fails in another, of one check and backend."""

    before: str
    after: str
    group: Group


class Causes:
    """Collects the cells of one checkpoint after another."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}
        self._upgrades: dict[tuple[str, ...], Upgrade] = {}
        self.by_stack: dict[str, Counter[str]] = {}
        """Verdicts by stack."""

    def add(self, name: str, rows: Sequence[Row]) -> None:
        """Adds a checkpoint.

        Args:
            name: of its files.
            rows: all of its cells.
        """
        for row in rows:
            self.by_stack.setdefault(row["stack"], Counter())[row["verdict"]] += 1
            if row["verdict"] in ("known", *BAD):
                group = _group(row)
                key = (group.verdict, group.cause, group.check, group.subject)
                self._groups.setdefault(key, group).add(name, row)
        for before, row in _broken(rows):
            group = _group(row)
            key = (before, row["stack"], group.cause, group.check, group.subject)
            self._upgrades.setdefault(key, Upgrade(before, row["stack"], group)).group.add(name, row)

    @property
    def groups(self) -> list[Group]:
        """Failures first; then by the number of checkpoints and cells."""
        return sorted(
            self._groups.values(), key=lambda each: (each.verdict == "known", -len(each.checkpoints), -each.cells)
        )

    @property
    def upgrades(self) -> list[Upgrade]:
        """By stacks, then by the number of checkpoints."""
        return sorted(self._upgrades.values(), key=lambda each: (each.before, each.after, -len(each.group.checkpoints)))


def _group(row: Row) -> Group:
    if row["verdict"] == "known":
        return Group("known", row["known_issue"] or "", "", "")
    subject = Subject(row["backend"], row["variant"], row["stack"]).label
    check = "" if row["reason"].startswith(OF_EVERY_CHECK) else row["check"]
    return Group(row["verdict"], finding_of(verdict_of(row, "")), check, f"{subject} {row['device']} {row['dtype']}")


def _broken(rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    """Yields each failing cell whose like in another stack is good, with that stack."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        names = ("check", "case", "backend", "variant", "device", "dtype")
        alike.setdefault(tuple(row[name] for name in names), []).append(row)
    for cells in alike.values():
        good = [each["stack"] for each in cells if each["verdict"] in GOOD]
        for row in cells:
            if row["verdict"] in BAD:
                yield from ((stack, row) for stack in good if stack != row["stack"])
