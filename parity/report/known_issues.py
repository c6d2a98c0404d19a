"""``parity known-issues``: the known divergences."""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.table import Table
from rich.text import Text

from parity.core.nearest import unknown
from parity.judge.judge import select_checks
from parity.judge.known_issues import Entry, NoSuchEntry, entries
from parity.report.console import console

COLOURS = {"critical": "bold red", "high": "yellow", "low": "bright_black"}
WORST_FIRST = tuple(COLOURS)


def show_known_issues(ids: list[str], backends: list[str], severities: list[str], checks: list[str]) -> None:
    """Prints the entries that are named in full, or a line for each that is selected.

    Raises:
        NoSuchEntry: there is no such entry, backend or severity; the message says which there are.
        NothingToJudge: there is no such check or group.
    """
    known = entries()
    _check("entry", ids, [entry.id for entry in known])
    _check("backend in the list of known issues", backends, [backend for entry in known for backend in entry.backends])
    _check("severity", severities, list(WORST_FIRST))
    of_checks = {check.id for check in select_checks(checks)}
    chosen = [
        entry
        for entry in sorted(known, key=lambda entry: WORST_FIRST.index(entry.severity))
        if (not ids or entry.id in ids)
        and (not backends or set(backends) & set(entry.backends))
        and (not severities or entry.severity in severities)
        and of_checks & set(entry.checks)
    ]
    out = console()
    out.print(*map(_whole, chosen), sep="\n") if ids else out.print(_table(chosen))
    counts = Counter(entry.severity for entry in chosen)
    totals = ", ".join(f"{counts[severity]} {severity}" for severity in WORST_FIRST if counts[severity])
    out.print(f"{len(chosen)} of {len(known)} entries: {totals or 'none'}")


def _check(what: str, requested: list[str], known: list[str]) -> None:
    for name in requested:
        if name not in known:
            raise NoSuchEntry(unknown(f"no {what} is called", name, known))


def _table(chosen: list[Entry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("severity", no_wrap=True)
    table.add_column("id", min_width=max((len(entry.id) for entry in chosen), default=0))
    table.add_column("versions", max_width=24)
    table.add_column("effect", ratio=1)
    for entry in chosen:
        table.add_row(Text(entry.severity, COLOURS[entry.severity]), entry.id, _versions(entry, "\n"), entry.effect)
    return table


def _whole(entry: Entry) -> Text:
    """One entry: what it says in words first, then every condition that it makes."""
    words = {"cause": entry.cause, "upstream": entry.upstream, "effect": entry.effect, "sometimes": entry.sometimes}
    conditions = entry.model_dump(exclude={"id", "severity", "versions", *words}, exclude_defaults=True)
    lines = Text.assemble((entry.id, "bold"), "  ", (entry.severity, COLOURS[entry.severity]), "\n")
    for name, value in {**words, "versions": _versions(entry, "; "), **conditions}.items():
        if value:
            lines.append(f"  {name}: ", "bright_black")
            lines.append(f"{_value_text(value)}\n")
    return lines


def _value_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _versions(entry: Entry, between: str) -> str:
    return between.join(f"{name} {' or '.join(specs)}" for name, specs in entry.versions.items())
