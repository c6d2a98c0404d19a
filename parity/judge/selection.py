"""Which cases some checks need of a candidate, so that an audit of a few checks captures no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from parity.core.case import Case
from parity.judge.checks import Check
from parity.judge.followup.cases import NOISE_FLOOR_TEXT

ALWAYS = ("load",)
"""What was loaded stands beside every answer."""
MADE_OF = {
    "saved.": "save.*",
    "generate.end-": "generate.greedy",
    "generate.": "generate.settings",
    "each-layer": "encode-decode",
}
"""By how the names of cases begin, what they are made of or judged with besides."""


def narrowed(cases: Iterable[Case], checks: Sequence[Check]) -> list[Case]:
    """The cases that some checks need, each with the roles that need it.

    Candidates are asked what one of the checks reads. The noise floor's members, and the oracle on the same cases, are
    asked as in a full audit: their answers set the tolerances.

    Args:
        cases: base cases, or some that follow from what was captured.
        checks: those that will be judged.
    """
    patterns = {*ALWAYS, *(pattern for check in checks for pattern in (*check.cases, *check.also))}
    patterns |= {made for start, made in MADE_OF.items() if any(each.startswith(start) for each in patterns)}
    kept = (_narrowed(case, patterns) for case in cases)
    return [case for case in kept if case is not None]


def _narrowed(case: Case, patterns: Collection[str]) -> Case | None:
    names = {case.name, case.notes.get("of", case.name)}
    if any(fnmatchcase(name, each) for name in names for each in patterns):
        return case
    if case.name == NOISE_FLOOR_TEXT:
        return replace(case, notes={**case.notes, "roles": ["oracle"]})
    if not case.notes.get("sets_noise_floor"):
        return None
    return replace(case, notes={**case.notes, "roles": ["oracle", "noise_floor"]})
