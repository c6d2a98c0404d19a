"""Of a report, only what is compared with another: a report of 40 MB is read in a fifth of a second."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from parity.core.records import SCHEMA_VERSION, RecordError, Status, Totals, read_record, report_file
from parity.core.subject import Subject

SHOWN_DIGITS = 3
"""Significant digits of an error that are kept: what is left out is far below the spread between two machines."""


class _Lean(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Place(_Lean):
    tensor: str
    inputs_within: float | None = None


class _KnownIssue(_Lean):
    known_issue: str = ""


class Judged(_Lean):
    """A verdict, without its claim and its evidence but for the known issue."""

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
    first_divergence: _Place | None = None
    evidence: _KnownIssue = _KnownIssue()

    @cached_property
    def cell(self) -> Cell:
        label = Subject(self.backend, self.variant, self.stack).label
        subject = " ".join((label, self.device, self.dtype, self.model_class))
        return Cell(self.checkpoint, subject, self.check, self.case)

    @property
    def ratio(self) -> float | None:
        """The error as a multiple of tolerance; None where the cell is about no number."""
        if self.error is None or not self.tolerance:
            return None
        return float(f"{self.error / self.tolerance:.{SHOWN_DIGITS}g}")


class _Identity(_Lean):
    name: str
    digest: str


class JudgedReport(_Lean):
    """Of ``report.json``, what is compared."""

    schema_version: int = SCHEMA_VERSION
    parity_version: str
    command: list[str]
    started: str
    checkpoints: list[_Identity]
    environments: dict[str, dict[str, Any]]
    verdicts: list[Judged]
    totals: Totals
    strict: bool = False
    selected: list[str] = Field(default_factory=list)


class Cell(NamedTuple):
    """What a row is about."""

    checkpoint: str
    subject: str
    """Label, device, dtype and the library's class: ``hf-torch/sdpa@docs-4.37 cpu float32 BartModel``."""
    check: str
    case: str


def read_judged(path: Path) -> JudgedReport:
    """Of a report, by its file or its run's directory, what is compared.

    Raises:
        RecordError: it cannot be read, is of another schema version, or its totals do not add up.
    """
    report = read_record(JudgedReport, report_file(path))
    if sum(report.totals.model_dump().values()) != len(report.verdicts):
        raise RecordError(f"{report_file(path)}: totals do not add up: {len(report.verdicts)} verdicts")
    if len({verdict.cell for verdict in report.verdicts}) < len(report.verdicts):
        raise RecordError(f"{report_file(path)}: it has two verdicts of one cell")
    return report


def versions_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Of what the probe found of a stack, what numbers depend on."""
    versions = {name: version for name, version in facts.get("versions", {}).items() if version}
    own = {"python": facts.get("python"), "cpu": facts.get("cpu")}
    return {**{name: value for name, value in own.items() if value}, **versions}
