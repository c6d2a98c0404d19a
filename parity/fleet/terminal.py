"""Terminal output of ``parity fleet``."""

from __future__ import annotations

from rich.text import Text

from parity.core.display import printable, sentence, shown
from parity.fleet.gate import FleetGate
from parity.fleet.run import FleetResult
from parity.report.console import console, plural
from parity.tools.gate.render import SHOWN, show_changes


def ending(result: FleetResult) -> str:
    """``12 checkpoints: 11 audited, 1 unreadable; 4711 cells: 4700 pass, 11 known``."""
    counts, totals = result.counts, result.totals.model_dump(by_alias=True)
    states = ", ".join(f"{counts[state]} {state}" for state in ("audited", "unreadable", "set aside") if counts[state])
    words = ", ".join(f"{count} {status}" for status, count in totals.items() if count or status == "pass")
    lines = [f"{plural(len(result.outcomes), 'checkpoint')}: {states}; {plural(sum(totals.values()), 'cell')}: {words}"]
    if without := [each.cache_problem for each in result.outcomes if each.cache_problem]:
        lines.append(f"{plural(len(without), 'audit')} had to do without the shared cache: {sentence(without[0])}")
    return "\n".join(lines)


def show_gate(gated: FleetGate) -> None:
    """Prints the changed versions, the checkpoints that are gone, a line for each group of changes, and the result."""
    out = console()
    for line in shown(list(gated.versions)):
        out.print(Text(line, "bright_black"))
    for what, labels in (("not audited any more", gated.lost), ("other files than before", gated.replaced)):
        for label in labels[:SHOWN]:
            out.print(Text(f"{what}: {printable(label, 600)}"))
        if len(labels) > SHOWN:
            out.print(f"and {plural(len(labels) - SHOWN, 'checkpoint')} more")
    show_changes(out, gated.changes, SHOWN)
    result = "gate passed" if gated.passed else "gate failed"
    lost = f", {plural(len(gated.lost), 'checkpoint')} not audited any more" if gated.lost else ""
    counts = f"{plural(len(gated.changes), 'cell')} changed, {gated.failing} of them worse"
    out.print(f"{result}: {plural(gated.checkpoints, 'checkpoint')}, {counts}{lost}")
