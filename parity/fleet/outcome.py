"""How the audit of one checkpoint of a fleet ended: what is stored of it, and what a task returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from parity.core.records import Totals

State = Literal["audited", "unreadable", "set aside"]
"""``set aside``: it ended its worker twice, exceeded a limit, or could not be audited for another reason."""


class Outcome(BaseModel):
    """The record of one checkpoint: ``checkpoints/NAME.json``. A fleet that goes on leaves out what has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Of its files (``parity.fleet.targets.Job.name``)."""
    checkpoint: str
    """As the list has it."""
    revision: str = ""
    """The commit of a hub's snapshot; else as the list has it."""
    device: str = "cpu"
    state: State
    reason: str = ""
    """Why it was not audited; of an audit, what was requested and did not run."""
    model_class: str = ""
    digest: str = ""
    """sha256 over the names and bytes of its files."""
    cells: int = 0
    totals: Totals = Totals()  # pyright: ignore[reportCallIssue] (its first field has an alias)
    versions: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By stack: Python, processor and the version of every library."""
    seconds: float = 0.0
    """Of the audit that counts."""
    tries: int = 1
    cache_problem: str = ""
    """Why the shared cache could not be read or written, which an audit does without."""
    node: str = ""
    """The machine that audited it."""

    @property
    def label(self) -> str:
        """The directory or hub id, its revision, and the device unless that is ``cpu``."""
        device = "" if self.device == "cpu" else self.device
        return " ".join(part for part in (self.checkpoint, self.revision, device) if part)


AnswerKind = Literal["audited", "unreadable", "more memory", "out of memory", "failed", "time limit", "unusable"]


@dataclass(frozen=True)
class Answer:
    """What a task returns to the command that submitted it."""

    kind: AnswerKind
    """``more memory``: it needs more than was reserved, and was not started. ``failed``: it cannot be audited there,
    and perhaps on another machine. ``unusable``: no checkpoint can be audited there."""
    outcome: Outcome
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One for each cell (``parity.fleet.table.COLUMNS``)."""
    files: dict[str, bytes] = field(default_factory=dict)
    """By name: ``report.json`` and ``report.html``."""
    memory: int = 0
    """Bytes that the audit needs by the headers of its weights."""
