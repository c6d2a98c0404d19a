"""The ledger of known divergences: a failure is ``known`` only where an entry says exactly so."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from packaging.specifiers import SpecifierSet
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from parity.cases import Case
from parity.checks.base import Check
from parity.errors import GivenError
from parity.records import SubjectRecord, Verdict
from parity.results import Comparison, Result
from parity.subjects import Variant

Severity = Literal["critical", "high", "low"]


class NoSuchEntry(GivenError):
    """The ledger knows nothing of what was asked for; the message says what there is."""


def _several(specifiers: Any) -> Any:
    return [specifiers] if isinstance(specifiers, str) else specifiers


class Entry(BaseModel):
    """One known divergence. Every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    script: str = ""
    """The script in ``reports/divergences`` that shows it, where that is another entry's: one cause, several signs."""
    severity: Severity
    """``critical``: silently wrong weights or text; ``high``: an error, or visibly wrong; ``low``: layout or words."""
    backends: list[str]
    versions: dict[str, Annotated[list[str], BeforeValidator(_several)]]
    """By distribution, the versions that diverge: one PEP 440 specifier, or several of which one must hold."""
    checks: list[str]
    cases: list[str] = Field(default_factory=list)
    """By name, ``*`` for anything; empty: all."""
    classes: list[str] = Field(default_factory=list)
    """Documented classes, by their PyTorch names; empty: all."""
    attention: list[str] = Field(default_factory=list)
    devices: list[str] = Field(default_factory=list)
    dtypes: list[str] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)
    """Values of ``config.json`` under which it shows; ``encoder.model_type`` names a half's."""
    unless: dict[str, Any] = Field(default_factory=dict)
    """Values under which it does not show. A field that ``config.json`` does not name has its default, and that too is
    one of them."""
    tensors: list[str] = Field(default_factory=list)
    """Nothing but these may be out of budget (``*`` stands for anything); empty: whatever was found."""
    first: list[str] = Field(default_factory=list)
    """The first divergence must be at one of these."""
    only_at: dict[str, str] = Field(default_factory=dict)
    """Every slice out of budget lies there: an axis and the config's field that holds its index."""
    raises: str | None = None
    """The exception it shows as."""
    dialect: str | None = None
    """The named way to search (``reference.generation.dialect``) in which the oracle writes the very same text; or
    ``AS_HELD``: it does so under the settings that the library holds without arguments, which are not the file's."""
    settings_lost: bool = False
    """The library holds other settings without arguments than the file's."""
    sometimes: str = ""
    """Where a cell it names may rightly pass: what else must be so. Without this, a pass makes the entry stale."""
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
            (self.classes, subject.documented_class),
            (self.attention, Variant.parse(subject.variant).attention),
            (self.devices, subject.device),
            (self.dtypes, subject.dtype),
        )
        if any(allowed and value not in allowed for allowed, value in limits):
            return False
        if self.cases and not _names(self.cases, case.name):
            return False
        if any(_named(config, name) != value for name, value in self.config.items()):
            return False
        if any(_named(config, name) in (None, value) for name, value in self.unless.items()):
            return False
        return self.is_of(versions)

    def is_of(self, versions: Mapping[str, str]) -> bool:
        """Whether it speaks about these versions of the distributions that it names."""
        return all(
            versions.get(name) and any(SpecifierSet(spec).contains(versions[name], prereleases=True) for spec in specs)
            for name, specs in self.versions.items()
        )

    def explains(self, verdict: Verdict, failed: list[Result], config: dict[str, Any]) -> bool:
        """Whether what was found is what the entry says, no more and nothing else."""
        exception = verdict.evidence.get("exception")
        if exception is not None or self.raises is not None:
            return exception == self.raises
        if not failed:
            # It failed for want of an answer or of an oracle, of which no entry speaks.
            return False
        if self.dialect is not None and self.dialect not in verdict.evidence.get("dialects", ()):
            return False
        if self.settings_lost and not verdict.evidence.get("settings_held"):
            return False
        first = verdict.first_divergence.tensor if verdict.first_divergence else None
        if self.first and not _names(self.first, first):
            return False
        if self.tensors and not all(_names(self.tensors, result.tensor) for result in failed):
            return False
        places = {axis: config.get(name) for axis, name in self.only_at.items()}
        return not places or all(_only_at(result, places) for result in failed)


def _named(config: dict[str, Any], name: str) -> Any:
    """A config's field, or that of one of its halves."""
    half, _, field = name.rpartition(".")
    return (config.get(half) or {} if half else config).get(field)


def _names(patterns: list[str], tensor: str | None) -> bool:
    return tensor is not None and any(fnmatchcase(tensor, pattern) for pattern in patterns)


def _only_at(result: Result, places: dict[str, Any]) -> bool:
    """Whether every slice out of budget is known and lies at these indices."""
    if not isinstance(result, Comparison) or result.slices_over != len(result.over_at):
        return False
    return all(at.get(axis) == index for at in (result.at, *result.over_at) for axis, index in places.items())


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the file."""
    text = resources.files("parity").joinpath("ledger.toml").read_text(encoding="utf-8")
    return tuple(Entry(**entry) for entry in tomllib.loads(text).get("divergence", []))
