"""Terminal output of ``parity gate``: the changes against the baseline."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from parity.core.display import printable, shown
from parity.report.console import console, plural, print_wrapped
from parity.tools.gate.gate import Change, GateResult

SHOWN = 40
"""The number of lines shown; further ones are counted."""
MANY = 4
INDENT = 15
COLOURS = {
    "worse": "bold red",
    "vanished": "bold red",
    "diverges": "bold red",
    "grew": "bold magenta",
    "moved": "bold magenta",
}
LABELS = {"diverges": "new divergence", "moved": "other cause"}
"""Labels of kinds of changes; the others are shown by name."""


def show_gate(gated: GateResult, report: Path, baseline: Path) -> None:
    """Prints the changed versions, a line for each group of changes, and the result."""
    out, gated = console(), shown(gated)
    for line in gated.versions:
        out.print(Text(line, "bright_black"))
    show_changes(out, gated.changes, SHOWN)
    print_wrapped(out, Text(ending(gated, baseline)), 2)
    if gated.changes and not any(change.regression for change in gated.changes):
        out.print(f"if this is intended: {update_command(report, baseline)}")


def show_changes(out: Console, changes: Iterable[Change], most: int) -> None:
    """Prints a line for each group of changes, the worst first; lines beyond ``most`` are counted."""
    lines = list(change_lines(shown(list(changes))))
    for kind, line in lines[:most]:
        print_wrapped(
            out, Text.assemble((f"{LABELS.get(kind, kind):<{INDENT}}", COLOURS.get(kind, "green")), line), INDENT
        )
    if len(lines) > most:
        out.print(f"and {plural(len(lines) - most, 'line')} more")


def ending(gated: GateResult, baseline: Path) -> str:
    """``27977 cells, all as in reports/baseline.json``, or the number of changes by kind."""
    cells = plural(len(gated.report.verdicts), "cell")
    if gated.passed:
        return f"gate passed: {cells}, all as in {printable(baseline)}"
    counts = Counter(change.kind for change in gated.changes)
    by_kind = ", ".join(f"{count} {LABELS.get(kind, kind)}" for kind, count in counts.items())
    return f"gate failed: {cells}, changed against {printable(baseline)}: {by_kind}"


def update_command(report: Path, baseline: Path) -> str:
    return printable(shlex.join(["parity", "gate", str(report), "--baseline", str(baseline), "--update"]), 8000)


def show_updated(changed: list[Change], baseline: Path, made: bool) -> None:
    """Prints the changes of a baseline; ``made``: it is new."""
    out = console()
    show_changes(out, changed, SHOWN)
    where = printable(baseline)
    out.print(f"created: {where}" if made else f"{plural(len(changed), 'cell')} changed; written: {where}")


def change_lines(changes: Iterable[Change]) -> Iterator[tuple[str, str]]:
    """Groups changes into lines, with their kind: by check and subject; vanished cells by subject."""
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        check = "" if change.kind == "vanished" else change.cell.check
        groups.setdefault((change.kind, check, change.cell.subject, _turn(change)), []).append(change)
    order = (*COLOURS, "better", "shrank", "new")
    for (kind, _, subject, turn), members in sorted(groups.items(), key=lambda item: order.index(item[0][0])):
        cells = [change.cell for change in members]
        checks, names = _listed(c.check for c in cells), _listed(c.checkpoint for c in cells)
        cases = _listed(c.case for c in cells)
        yield kind, f"{checks} · {subject} · {names} · {cases}: {turn}{_numbers(members)}{_why(members)}"


def _turn(change: Change) -> str:
    before = change.before.status if change.before else "none"
    if change.before and change.before.entry and change.kind == "better":
        before = f"{before} ({change.before.entry})"
    after = change.after.status if change.after else "none"
    if change.before and before == after == "fail":
        if not change.before.entry:
            return f"another failure (it was {change.before.found})"
        return f"another failure than the accepted one ({change.before.entry}; it was {change.before.found})"
    if change.before and change.kind == "moved":
        return f"{before} as before, but it was {change.before.found}"
    return f"{before} → {after}" if before != after else before


def _numbers(members: list[Change]) -> str:
    """The change of the largest error."""
    known = [
        (change.after.ratio, change.before) for change in members if change.after and change.after.ratio is not None
    ]
    if not known:
        return ""
    worst, row = max(known, key=lambda found: found[0])
    before = "" if row is None or row.low is None else f"{row.largest:.3g} → "
    return f", {before}{worst:.3g} × tolerance"


def _why(members: list[Change]) -> str:
    """The first divergence of the first change, or its reason."""
    verdict = next((change.after for change in members if change.after and change.after.status != "pass"), None)
    if verdict is None:
        return ""
    if verdict.first_divergence is None:
        return f", {' '.join(verdict.reason.split())[:200]}" if verdict.reason else ""
    within = verdict.first_divergence.inputs_within
    inputs = "" if within is None else f", inputs agree ({within:.2g} × tolerance)"
    return f", first at {verdict.first_divergence.tensor}{inputs if (within or 0) <= 1 else ''}"


def _listed(names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    if len(names) <= MANY:
        return ", ".join(names)
    return f"{', '.join(names[: MANY - 1])} and {len(names) - MANY + 1} more"
