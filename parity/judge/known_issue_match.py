"""Matches failed cells with known issues, measured at the same versions or carried over from adjacent ones.

An entry carries over to an unmeasured version only if another fault would be visible: the entry names everything that
failed, and the error is about as large as it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from json import loads

from packaging.version import InvalidVersion, Version

from parity.core.records import CheckpointRecord, SubjectRecord, Verdict
from parity.core.resources import data
from parity.judge.known_issues import Entry, matches, measured_versions
from parity.judge.results import Comparison, Result

FACTOR = 3.0
"""The factor by which an error may be outside the range of the baseline, in either direction.

In the baseline the errors of one entry and check vary by at most a factor of 7 over all fixtures and stacks if the
fault is the same missing sum (the gradient of the padding row: 3.8e4 to 1.9e5 × tolerance in 72 cells), and mostly by
less than 2. The gate allows the same factor for a known cell between two machines
(``parity.tools.gate.gate.FACTOR``)."""


@dataclass(frozen=True)
class Failure:
    """A failed cell, with everything that is matched with entries."""

    check: str
    case: str
    subject: SubjectRecord
    checkpoint: CheckpointRecord
    versions: Mapping[str, str]
    verdict: Verdict
    failed: Sequence[Result]
    follows: frozenset[str] = frozenset()
    """Tensors out of tolerance that are computed from others out of tolerance."""

    @property
    def cell(self) -> tuple[str, str, SubjectRecord, CheckpointRecord]:
        """The arguments of ``Entry.applies``."""
        return self.check, self.case, self.subject, self.checkpoint


@dataclass(frozen=True)
class Explanation:
    """The entry that explains a failure, or that it resembles."""

    entry: Entry
    carried_over: str = ""
    """``measured at 5.23.0``; empty if it was measured at these versions."""
    but: str = ""
    """The reason why the failure only resembles the entry; empty if the entry explains it."""

    @property
    def measured(self) -> bool:
        """Whether it was measured at exactly these versions."""
        return not self.carried_over


def explain(failure: Failure, entries: Sequence[Entry]) -> Explanation | None:
    """Finds the known issue that best explains a failure.

    Returns:
        The known issue that was measured in these library versions; otherwise one that was measured in the nearest
        version and whose cause and evidence both match (``carried_over``); otherwise one with similar evidence, which
        explains nothing but is named; None if there is none.
    """
    at = [entry for entry in entries if entry.applies(*failure.cell)]
    for entry in at:
        if entry.is_of(failure.versions) and _explains(entry, failure):
            return Explanation(entry)
    found = []
    for entry in at:
        if near := nearest(entry, failure.versions, measured_versions()):
            but = disagreement(entry, failure) if _explains(entry, failure) else "the failure is a different one"
            found.append(Explanation(entry, near, but))
    return next((each for each in found if not each.but), next(iter(sorted(found, key=_likeness)), None))


def _likeness(found: Explanation) -> bool:
    return found.but == "the failure is a different one"


def _explains(entry: Entry, failure: Failure) -> bool:
    attentions = "attentions" not in failure.subject.lacking
    return entry.explains(failure.verdict, list(failure.failed), failure.checkpoint.config, attentions)


def nearest(entry: Entry, versions: Mapping[str, str], measured: Mapping[str, Sequence[str]]) -> str:
    """The measured version of an entry that is adjacent to an unmeasured one, within the same major release.

    The next lower measured version is preferred to the next higher one. 5.24.0 and 5.0.0 are adjacent to 5.23.0, and
    4.58.0 to 4.57.6; nothing carries over to another major release.

    Args:
        versions: those of the failed cell's stack.
        measured: by distribution, all measured versions.

    Returns:
        ``measured at 5.23.0``; empty if the version itself was measured, or no adjacent version is affected.
    """
    found: list[str] = []
    for name, specs in entry.versions.items():
        version = versions.get(name)
        if not version:
            return ""
        if entry.is_of_version(name, version):
            continue
        neighbour = next((each for each in _neighbours(version, measured.get(name, ())) if matches(specs, each)), None)
        if neighbour is None:
            return ""
        found.append(neighbour if name == "transformers" else f"{name} {neighbour}")
    return f"measured at {', '.join(found)}" if found else ""


def _neighbours(version: str, measured: Sequence[str]) -> list[str]:
    """The adjacent measured versions of the same major release, lower first; empty if the version was measured."""
    try:
        here = Version(version)
    except InvalidVersion:
        return []
    line = sorted((Version(each), each) for each in measured if Version(each).major == here.major)
    if any(each.public == here.public for each, _ in line):
        return []
    below, above = [name for each, name in line if each < here], [name for each, name in line if each > here]
    return [*below[-1:], *above[:1]]


def disagreement(entry: Entry, failure: Failure) -> str:
    """The reason why an entry that matches a failure does not carry over to it; "" if it does."""
    if failure.verdict.evidence.get("exception") is not None:
        return "" if entry.message and entry.raised_in else "the entry has no message or no frame of the exception"
    if entry.dialect is not None or entry.ignored or entry.equals:
        return ""  # the oracle reproduces the text, the scores, the distribution or the values
    for result in failure.failed:
        if not entry.names(result):
            return f"the entry does not name {result.tensor or 'the finding'}"
        if result.tensor in failure.follows and not entry.only_at:
            return f"{result.tensor} is computed from a wrong tensor, so a second fault would be hidden"
    compared = [result for result in failure.failed if isinstance(result, Comparison)]
    return _error_disagrees(entry, failure, max(each.ratio for each in compared)) if compared else ""


def _error_disagrees(entry: Entry, failure: Failure, ratio: float) -> str:
    if failure.check.startswith("GEN"):
        return "a second fault would be hidden in a different text"
    if (failure.subject.device, failure.subject.dtype) != ("cpu", "float32"):
        return "its error was measured only in float32 on the CPU"
    measured = measured_errors().get(entry.id, {}).get(failure.check)
    if measured is None:
        return "its error was not measured"
    low, high = measured
    if low / FACTOR <= ratio <= high * FACTOR:
        return ""
    return f"the error is {ratio:.3g} × tolerance; measured were {low:.3g} to {high:.3g}"


@cache
def measured_errors() -> dict[str, dict[str, tuple[float, float]]]:
    """By entry and check, the smallest and largest error in the baseline, as a multiple of tolerance
    (``python -m parity.tools.gate.known_issue_errors`` writes them)."""
    return loads(data("judge/data/known_issue_errors.json").read_text(encoding="utf-8"))
