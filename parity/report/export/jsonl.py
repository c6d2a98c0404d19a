"""JSON Lines: what was run, a line for each verdict, the totals, which must be the number of lines between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parity.core.display import shown
from parity.core.records import Report, json_text

HEAD = (
    "schema_version",
    "parity_version",
    "command",
    "started",
    "strict",
    "selected",
    "environments",
    "unreadable",
)

LONGEST = 20_000
"""Characters of one text."""


def jsonl(report: Report) -> str:
    """The whole file; each line is an object whose ``record`` is ``run``, ``verdict`` or ``totals``."""
    # As JSON it could hold any text, but not every reader of JSON takes a lone surrogate, and messages are shown.
    return "".join(json_text(line) + "\n" for line in _lines(shown(report, LONGEST)))


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    data = report.model_dump(mode="json", by_alias=True, include={*HEAD, "checkpoints", "verdicts", "totals"})
    checkpoints = {each["name"]: each["digest"] for each in data["checkpoints"]}
    notices = {each["name"]: each["notices"] for each in data["checkpoints"] if each["notices"]}
    yield {"record": "run", **{name: data[name] for name in HEAD}, "checkpoints": checkpoints, "notices": notices}
    for verdict in data["verdicts"]:
        yield {"record": "verdict", **verdict}
    yield {"record": "totals", **data["totals"]}
