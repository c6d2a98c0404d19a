"""Terminal output of ``parity fleet``."""

from __future__ import annotations

from parity.fleet.run import FleetResult
from parity.report.console import plural


def ending(result: FleetResult) -> str:
    """``12 checkpoints: 11 audited, 1 unreadable; 4711 cells: 4700 pass, 11 known``."""
    counts, totals = result.counts, result.totals.model_dump(by_alias=True)
    states = ", ".join(f"{counts[state]} {state}" for state in ("audited", "unreadable", "set aside") if counts[state])
    words = ", ".join(f"{count} {status}" for status, count in totals.items() if count or status == "pass")
    return f"{plural(len(result.outcomes), 'checkpoint')}: {states}; {plural(sum(totals.values()), 'cell')}: {words}"
