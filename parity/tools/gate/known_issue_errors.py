"""``python -m parity.tools.gate.known_issue_errors``: how large the error of each known issue is, from the baseline.

It is what an issue is held to in a version that nobody measured (``parity.judge.known_issue_match``). Written anew
after the baseline; a test holds the two together.
"""

from __future__ import annotations

import json
from pathlib import Path

from parity.core.resources import data
from parity.tools.gate.baseline import Baseline, read_baseline

BASELINE = Path(__file__).resolve().parents[3] / "reports" / "baseline.json"


def errors_of(baseline: Baseline) -> dict[str, dict[str, list[float]]]:
    """By entry and check, the range of errors as a multiple of tolerance; only of checks that have numbers past their
    tolerance."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell, row in baseline.rows():
        if row.status == "known" and row.low is not None and row.largest > 1:
            low, high = found.setdefault(row.entry, {}).setdefault(cell.check, [row.low, row.largest])
            found[row.entry][cell.check] = [min(low, row.low), max(high, row.largest)]
    return {entry: dict(sorted(checks.items())) for entry, checks in sorted(found.items())}


def text_of(errors: dict[str, dict[str, list[float]]]) -> str:
    """The file: a line for each check, so that a diff shows one."""
    blocks = [
        f" {json.dumps(entry)}: {{\n" + ",\n".join(f"  {json.dumps(c)}: {json.dumps(r)}" for c, r in checks.items())
        for entry, checks in errors.items()
    ]
    return "{\n" + "\n },\n".join(blocks) + "\n }\n}\n"


if __name__ == "__main__":
    data("judge/data/known_issue_errors.json").write_text(text_of(errors_of(read_baseline(BASELINE))), encoding="utf-8")
