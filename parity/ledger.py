"""The ledger of known divergences: a failure is ``known`` only where an entry says exactly so."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

from packaging.specifiers import SpecifierSet
from pydantic import BaseModel, ConfigDict, Field

from parity.cases import Case
from parity.checks.base import Check, Result
from parity.records import SubjectRecord
from parity.subjects import Variant

Severity = Literal["critical", "high", "low"]


class Entry(BaseModel):
    """One known divergence. Every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    severity: Severity
    """``critical``: silently wrong weights or text; ``high``: an error, or visibly wrong; ``low``: layout or words."""
    backends: list[str]
    versions: dict[str, str]
    """By distribution, the versions that diverge (PEP 440 specifiers)."""
    checks: list[str]
    cases: list[str] = Field(default_factory=list)
    attention: list[str] = Field(default_factory=list)
    devices: list[str] = Field(default_factory=list)
    dtypes: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    """Values of ``config.json`` under which it shows."""
    tensors: list[str] = Field(default_factory=list)
    """Nothing but these may be out of budget (``*`` at the end stands for any ending); empty: whatever was found."""
    raises: str | None = None
    """The exception it shows as."""
    cause: str
    upstream: str
    """File and symbol in the library."""
    effect: str
    """What it does to users."""

    def covers(self, check: Check, case: Case, subject: SubjectRecord, config: dict[str, Any], versions: dict) -> bool:
        """Whether this entry speaks about a cell at all."""
        limits = (
            (self.checks, check.id),
            (self.backends, subject.backend),
            (self.cases, case.name),
            (self.attention, Variant.parse(subject.variant).attention),
            (self.devices, subject.device),
            (self.dtypes, subject.dtype),
        )
        if any(allowed and value not in allowed for allowed, value in limits):
            return False
        if any(config.get(name) != value for name, value in self.config.items()):
            return False
        return all(
            versions.get(name) and SpecifierSet(spec).contains(versions[name], prereleases=True)
            for name, spec in self.versions.items()
        )

    def explains(self, failed: list[Result], exception: str | None) -> bool:
        """Whether what was found is what the entry says, no more and nothing else."""
        if exception is not None or self.raises is not None:
            return exception == self.raises
        return not self.tensors or all(self._names(result.tensor) for result in failed)

    def _names(self, tensor: str | None) -> bool:
        return tensor is not None and any(fnmatchcase(tensor, pattern) for pattern in self.tensors)


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the file."""
    text = resources.files("parity").joinpath("ledger.toml").read_text(encoding="utf-8")
    return tuple(Entry(**entry) for entry in tomllib.loads(text).get("divergence", []))
