"""The part of a report that the gate compares: it reads a report of 40 MB in a fifth of a second."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from parity.core.records import SCHEMA_VERSION, RecordError, Status, Totals, read_record, report_file
from parity.core.subject import Subject

SHOWN_DIGITS = 3
"""Significant digits of a recorded error; the rest is far below the spread between two machines."""


class _Lean(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _FirstDivergence(_Lean):
    tensor: str
    inputs_within: float | None = None


class _KnownIssue(_Lean):
    known_issue: str = ""


class VerdictSummary(_Lean):
    """A verdict without its claim and its evidence, except for the id of a known issue."""

    check: str
    checkpoint: str
    model_class: str
    case: str
    backend: str
    variant: str
    stack: str
    device: str
    dtype: str
    status: Status
    error: float | None = None
    tolerance: float | None = None
    reason: str = ""
    first_divergence: _FirstDivergence | None = None
    evidence: _KnownIssue = _KnownIssue()

    @cached_property
    def cell(self) -> Cell:
        label = Subject(self.backend, self.variant, self.stack).label
        subject = " ".join((label, self.device, self.dtype, self.model_class))
        return Cell(self.checkpoint, subject, self.check, self.case)

    @property
    def ratio(self) -> float | None:
        """The error as a multiple of tolerance; None without a numeric comparison."""
        if self.error is None or not self.tolerance:
            return None
        return float(f"{self.error / self.tolerance:.{SHOWN_DIGITS}g}")


class _Identity(_Lean):
    name: str
    digest: str


class ReportDigest(_Lean):
    """The compared part of ``report.json``."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    checkpoints: list[_Identity]
    environments: dict[str, dict[str, Any]]
    verdicts: list[VerdictSummary]
    totals: Totals
    strict: bool = False
    selected: list[str] = Field(default_factory=list)


class Cell(NamedTuple):
    """The key of a row."""

    checkpoint: str
    subject: str
    """Label, device, dtype and the library's class: ``hf-torch/sdpa@docs-4.37 cpu float32 BartModel``."""
    check: str
    case: str


def read_digest(path: Path) -> ReportDigest:
    """Reads the compared part of a report, given its file or its run directory.

    Raises:
        RecordError: it cannot be read, has another schema version, or its totals do not add up.
    """
    report = read_record(ReportDigest, report_file(path))
    if sum(report.totals.model_dump().values()) != len(report.verdicts):
        raise RecordError(f"{report_file(path)}: totals do not add up: {len(report.verdicts)} verdicts")
    if len({verdict.cell for verdict in report.verdicts}) < len(report.verdicts):
        raise RecordError(f"{report_file(path)}: it has two verdicts of one cell")
    return report


def versions_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The part of a stack's environment that numbers depend on: Python, the CPU and versions of libraries."""
    versions = {name: version for name, version in facts.get("versions", {}).items() if version}
    own = {"python": facts.get("python"), "cpu": facts.get("cpu")}
    return {**{name: value for name, value in own.items() if value}, **versions}
