"""From a failed cell to the known issue that it is: measured at these very versions, or carried over to others.

A version that nobody measured lies beside one that somebody did. An entry carries over to it only where a second fault
would show: the entry names what is wrong, nothing else is, and the error is as large as it was.
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
"""How far beyond the range that the baseline shows, in either direction, an error may be.

In the baseline the errors of one entry and check are within a factor of 7 of each other over all fixtures and stacks
where the fault is the same sum left out (the padding row's gradient: 3.8e4 to 1.9e5 × tolerance in 72 cells), and
mostly within 2. The gate allows the error of one known cell the same factor between two machines
(``parity.tools.gate.gate.FACTOR``)."""


@dataclass(frozen=True)
class Failure:
    """A failed cell, as far as an entry looks at it."""

    check: str
    case: str
    subject: SubjectRecord
    checkpoint: CheckpointRecord
    versions: Mapping[str, str]
    verdict: Verdict
    failed: Sequence[Result]
    follows: frozenset[str] = frozenset()
    """Tensors out of tolerance that are computed from others that are: they say nothing of themselves."""

    @property
    def cell(self) -> tuple[str, str, SubjectRecord, CheckpointRecord]:
        """What an entry's conditions are about."""
        return self.check, self.case, self.subject, self.checkpoint


@dataclass(frozen=True)
class Explanation:
    """The entry that a failure is, or that it resembles."""

    entry: Entry
    carried_over: str = ""
    """``measured at 5.23.0``; empty where it was measured at these versions."""
    but: str = ""
    """Why it only resembles the entry, and is none of it."""

    @property
    def measured(self) -> bool:
        """Whether it was measured at these very versions."""
        return not self.carried_over


def explain(failure: Failure, entries: Sequence[Entry]) -> Explanation | None:
    """What a failure is: a measured divergence before one that carries over before one that it resembles."""
    at = [entry for entry in entries if entry.applies(*failure.cell)]
    for entry in at:
        if entry.is_of(failure.versions) and _explains(entry, failure):
            return Explanation(entry)
    found = []
    for entry in at:
        if near := nearest(entry, failure.versions, measured_versions()):
            but = disagreement(entry, failure) if _explains(entry, failure) else "what was found is something else"
            found.append(Explanation(entry, near, but))
    return next((each for each in found if not each.but), next(iter(sorted(found, key=_likeness)), None))


def _likeness(found: Explanation) -> bool:
    return found.but == "what was found is something else"


def _explains(entry: Entry, failure: Failure) -> bool:
    attentions = "attentions" not in failure.subject.lacking
    return entry.explains(failure.verdict, list(failure.failed), failure.checkpoint.config, attentions)


def nearest(entry: Entry, versions: Mapping[str, str], measured: Mapping[str, Sequence[str]]) -> str:
    """The version an entry was measured at that is next to an unmeasured one, of the same major release.

    Of the measured versions the one below is asked first, then the one above: where both are there and only one of them
    diverges, the error itself says on which side of the change this version is. 5.24.0 is beside 5.23.0, and so is
    5.0.0; 4.58.0 is beside 4.57.6; nothing carries over from one major release to the next.

    Args:
        versions: those of the stack that failed.
        measured: by distribution, every version that somebody measured.

    Returns:
        ``measured at 5.23.0``; empty where the entry was measured at exactly this version, where this version was
        measured and does not diverge, or where no neighbour diverges.
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
    """The measured versions next below and next above, of the same major release; none where it is one of them."""
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
    """Why an entry that explains a failure does not carry over to it, as the end of a sentence; "" where it does."""
    if failure.verdict.evidence.get("exception") is not None:
        return "" if entry.message and entry.raised_in else "it names no message and no function that raises"
    if entry.dialect is not None:
        return ""  # the oracle writes the very same text, or gives the very same scores
    for result in failure.failed:
        if not entry.names(result):
            return f"{result.tensor or 'what was found'} is nothing that it names"
        if result.tensor in failure.follows and not entry.only_at:
            return f"{result.tensor} is computed from what is wrong, and says nothing of itself"
    compared = [result for result in failure.failed if isinstance(result, Comparison)]
    return _error_disagrees(entry, failure, max(each.ratio for each in compared)) if compared else ""


def _error_disagrees(entry: Entry, failure: Failure, ratio: float) -> str:
    if failure.check.startswith("GEN"):
        return "a text that is another says nothing of a second fault"
    if (failure.subject.device, failure.subject.dtype) != ("cpu", "float32"):
        return "its error was measured in float32 on the CPU"
    measured = measured_errors().get(entry.id, {}).get(failure.check)
    if measured is None:
        return "no error of it was measured"
    low, high = measured
    if low / FACTOR <= ratio <= high * FACTOR:
        return ""
    return f"the error is {ratio:.3g} × tolerance, and {low:.3g} to {high:.3g} were measured"


@cache
def measured_errors() -> dict[str, dict[str, tuple[float, float]]]:
    """By entry and check, the smallest and the largest error as a multiple of tolerance that the baseline has
    (``python -m parity.tools.gate.known_issue_errors`` writes them)."""
    return loads(data("judge/data/known_issue_errors.json").read_text(encoding="utf-8"))
