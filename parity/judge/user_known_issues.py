"""A user's expected failures: a file in the format of the known issues, with evidence, a reason and an expiry date.

A matching failure is ``known``, with the file as its source, until the entry expires; then it fails again. An ``error``
is never excused. The file must not be in the directory of a judged checkpoint: a checkpoint must not excuse its own
failures.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import Field, ValidationError, model_validator

from parity.core.display import printable
from parity.core.errors import InputError
from parity.core.records import Verdict, format_validation_error
from parity.judge.checks import CHECKS
from parity.judge.known_issues import Entry, Severity, entries
from parity.judge.results import Result
from reference.errors import CheckpointError, brief
from reference.files import read_bytes

LARGEST = 1
"""The maximum size of a file of known issues in MB: some thousand entries."""
LONGEST_ID = 200
"""The maximum length of an id in a message."""


class KnownIssuesError(InputError):
    """A file of known issues cannot be used; the message is one line: the file, the entry, the cause."""


class KnownIssue(Entry):
    """One expected failure of a user: an ``Entry`` with evidence, a reason and an expiry date."""

    severity: Severity = "high"
    versions: dict[str, Any] = Field(default_factory=dict)
    """By distribution, as in the list of known issues; empty: all."""
    cause: str = ""
    upstream: str = ""
    effect: str = ""
    checkpoints: list[str] = Field(default_factory=list)
    """Names of checkpoints, ``*`` for anything; empty: all."""
    found: str = ""
    """A substring of the reason, and of each finding."""
    reason: str = Field(min_length=1)
    """Why the failure is expected."""
    expires: date
    """The last day on which it is."""
    source: str = ""
    """The file that holds it."""

    @model_validator(mode="after")
    def _gives_evidence(self) -> Self:
        if not self.id.strip() or not self.reason.strip():
            raise ValueError("id and reason must not be empty")
        if not self.checks or not self.backends:
            raise ValueError("checks and backends must not be empty")
        if unknown := [name for name in self.checks if name not in CHECKS]:
            raise ValueError(f"unknown check {unknown[0]}")
        if not (self.first or self.tensors or self.found or self.findings or self.raises or self.dialect):
            raise ValueError("no evidence: set first, tensors, found, findings, raises or dialect")
        if self.raises and not (self.found or self.message):
            raise ValueError("raises also needs found or message to identify the exception")
        for pattern in (self.message, *self.findings):
            try:
                vague = pattern and (re.search(pattern, "") or re.fullmatch(pattern, "\N{SNOWMAN}", re.DOTALL))
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if vague:
                raise ValueError(f"{pattern!r} is no evidence: it matches anything")
        if vague := [each for each in (*self.first, *self.tensors, self.found) if each and not each.strip("*?. ")]:
            raise ValueError(f"{vague[0]!r} is no evidence: it matches anything")
        try:
            for spec in (each for several in self.versions.values() for each in several):
                SpecifierSet(spec)
        except (InvalidSpecifier, TypeError) as error:
            raise ValueError(f"versions: {error}") from error
        return self

    def expired(self, today: date | None = None) -> bool:
        """Whether the last day is over (UTC)."""
        return (today or datetime.now(UTC).date()) > self.expires

    def explains(self, verdict: Verdict, failed: list[Result], config: dict[str, Any], attentions: bool = True) -> bool:
        """Whether the entry covers the checkpoint and explains all failed results."""
        if self.checkpoints and not any(fnmatchcase(verdict.checkpoint, each) for each in self.checkpoints):
            return False
        if self.found and self.found not in verdict.reason:
            return False
        # The reason of a verdict is only its first finding.
        if self.found and not all(self.found in result.what for result in failed if result.what):
            return False
        return super().explains(verdict, failed, config, attentions)

    def judged(self, verdict: Verdict, strict: bool, today: date | None = None) -> Verdict:
        """The verdict of a cell that it explains: ``known``, or ``fail`` if it has expired, or is critical in a strict
        run."""
        expired = self.expired(today)
        why = f"{self.id} ({self.source}): {self.reason}"
        if expired:
            why = f"known issue {self.id} expired on {self.expires} ({self.source}): {self.reason}"
        fails = expired or (strict and self.severity == "critical")
        evidence = {**verdict.evidence, "known_issue": self.id, "severity": self.severity, "source": self.source}
        changed = {"status": "fail" if fails else "known", "reason": f"{why} [{verdict.reason}]", "evidence": evidence}
        return verdict.model_copy(update=changed)


def read_known_issues(path: Path, checkpoints: Iterable[Path] = ()) -> tuple[KnownIssue, ...]:
    """The entries of a file, in its order.

    Args:
        checkpoints: directories of the judged checkpoints.

    Raises:
        KnownIssuesError: the file is in one of these directories, is not a regular file, is too large or not TOML, or
            an entry is invalid or has no evidence.
    """
    outside(path, checkpoints)
    data = _parsed(path)
    if not isinstance(data.get("divergence"), list) or set(data) != {"divergence"}:
        other = next((name for name in data if name != "divergence"), None)
        cause = "has no [[divergence]]" if other is None else f"{brief(other)} is not [[divergence]]"
        raise KnownIssuesError(f"{path}: {cause}")
    found: dict[str, KnownIssue] = {}
    taken = {entry.id for entry in entries()}
    for number, fields in enumerate(data["divergence"], 1):
        name = fields.get("id") if isinstance(fields, dict) else None
        named = isinstance(name, str) and name.strip() and name == printable(name, LONGEST_ID)
        location = f"{path}: {name if named else f'entry {number}'}"
        try:
            issue = KnownIssue.model_validate({**fields, "source": str(path)} if isinstance(fields, dict) else fields)
        except ValidationError as error:
            raise KnownIssuesError(
                f"{location}: {' '.join(format_validation_error(error).split()).removeprefix('Value error, ')}"
            ) from error
        if issue.id in found or issue.id in taken:
            whose = "another entry" if issue.id in found else "a known issue of parity itself"
            raise KnownIssuesError(f"{location}: {whose} has this id")
        found[issue.id] = issue
    return tuple(found.values())


def outside(path: Path, checkpoints: Iterable[Path]) -> None:
    """Raises KnownIssuesError if a file is in a checkpoint's directory, directly or through a link."""

    def spellings(given: Path) -> tuple[Path, Path]:
        return Path(os.path.normpath(given.absolute())), given.resolve()

    for checkpoint in checkpoints:
        if any(file.is_relative_to(folder) for file in spellings(path) for folder in spellings(checkpoint)):
            cause = f"is in the directory of the checkpoint {checkpoint}, which must not excuse its own failures"
            raise KnownIssuesError(f"{path}: {cause}")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes(path, LARGEST).decode("utf-8"))
    except CheckpointError as error:
        raise KnownIssuesError(f"{path}: cannot be read: {error.cause.removeprefix('cannot be read: ')}") from error
    except UnicodeDecodeError as error:
        raise KnownIssuesError(f"{path}: not UTF-8 text: byte {error.start}") from error
    except (RecursionError, ValueError) as error:
        raise KnownIssuesError(f"{path}: not TOML: {' '.join(str(error).split())[:200]}") from error
