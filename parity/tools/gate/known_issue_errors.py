"""``python -m parity.tools.gate.known_issue_errors``: extracts the error range of each known issue from the baseline.

Errors in unmeasured versions are compared with it (``parity.judge.known_issue_match``). Run it after an update of the
baseline; a test checks that both agree.
"""

from __future__ import annotations

import json
from pathlib import Path

from parity.core.resources import data
from parity.tools.gate.baseline import Baseline, read_baseline

BASELINE = Path(__file__).resolve().parents[3] / "reports" / "baseline.json"


def errors_of(baseline: Baseline) -> dict[str, dict[str, list[float]]]:
    """By entry and check, the range of errors as a multiple of tolerance, for checks with errors out of tolerance."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell, row in baseline.rows():
        if row.status == "known" and row.low is not None and row.largest > 1:
            low, high = found.setdefault(row.entry, {}).setdefault(cell.check, [row.low, row.largest])
            found[row.entry][cell.check] = [min(low, row.low), max(high, row.largest)]
    return {entry: dict(sorted(checks.items())) for entry, checks in sorted(found.items())}


def text_of(errors: dict[str, dict[str, list[float]]]) -> str:
    """The content of the file, with a line for each check."""
    blocks = [
        f" {json.dumps(entry)}: {{\n" + ",\n".join(f"  {json.dumps(c)}: {json.dumps(r)}" for c, r in checks.items())
        for entry, checks in errors.items()
    ]
    return "{\n" + "\n },\n".join(blocks) + "\n }\n}\n"


if __name__ == "__main__":
    data("judge/data/known_issue_errors.json").write_text(text_of(errors_of(read_baseline(BASELINE))), encoding="utf-8")
