"""JSON Lines: what was run, a line for each verdict, the totals, which must be the number of lines between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from parity.records import Report

HEAD = (
    "schema_version", "parity_version", "command", "started", "strict", "selected", "environments", "unreadable",
)  # fmt: skip


def jsonl(report: Report) -> str:
    """The whole file; each line is an object whose ``record`` is ``run``, ``verdict`` or ``totals``."""
    return "".join(json.dumps(line) + "\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    data = report.model_dump(mode="json", by_alias=True, include={*HEAD, "checkpoints", "verdicts", "totals"})
    checkpoints = {each["name"]: each["digest"] for each in data["checkpoints"]}
    notices = {each["name"]: each["notices"] for each in data["checkpoints"] if each["notices"]}
    yield {"record": "run", **{name: data[name] for name in HEAD}, "checkpoints": checkpoints, "notices": notices}
    for verdict in data["verdicts"]:
        yield {"record": "verdict", **verdict}
    yield {"record": "totals", **data["totals"]}
