"""Selects the cases that the requested checks need, so that an audit of a few checks captures no others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from parity.core.case import Case
from parity.judge.checks import Check
from parity.judge.followup.cases import NOISE_FLOOR_TEXT

ALWAYS = ("load",)
"""Cases that every selection of a model's checks includes."""
MADE_OF = {
    "saved.": ("save.*", "generate.settings"),
    "saved-config.": ("save-config", "config"),
    "saved-tokenizer.": ("save-tokenizer", "tokenize"),
    "generate.end-": ("generate.greedy",),
    "generate.": ("generate.settings",),
    "forward.own-decoder-inputs.": ("forward.own-decoder-inputs",),
    "sample.": ("generate.single-row",),
    "each-layer": ("encode-decode",),
}
"""By prefix of a case name, other cases that it is derived from or judged with."""


def narrowed(cases: Iterable[Case], checks: Sequence[Check]) -> list[Case]:
    """The cases that the checks need, each with the roles that need it.

    Candidates run only the cases that one of the checks reads. The members of the noise floor, and the oracle on the
    same cases, run as in a full audit, because they set the tolerances.

    Args:
        cases: base cases, or follow-up cases.
        checks: the checks to judge.
    """
    cases = list(cases)
    patterns = {pattern for check in checks for pattern in (*check.cases, *check.depends_on)}
    patterns |= made_of(patterns)
    named = [case for case in cases if _matches(case, patterns)]
    if named and all(case.component != "model" for case in named):
        return named  # no model is judged, and none is loaded
    selected = (narrowed_case(case, {*ALWAYS, *patterns}) for case in cases)
    return [case for case in selected if case is not None]


def made_of(names: Collection[str]) -> set[str]:
    """The cases that these are derived from or judged with, as patterns."""
    return {name for start, made in MADE_OF.items() if any(each.startswith(start) for each in names) for name in made}


def narrowed_case(case: Case, patterns: Collection[str]) -> Case | None:
    """A case with the roles that need it, where candidates run those that match a pattern; None if no role does."""
    return case if _matches(case, patterns) else for_tolerances(case)


def _matches(case: Case, patterns: Collection[str]) -> bool:
    names = {case.name, case.notes.get("of", case.name)}
    return any(fnmatchcase(name, each) for name in names for each in patterns)


def for_tolerances(case: Case) -> Case | None:
    """A case that no candidate runs, with the roles that set tolerances; None if it sets none."""
    if case.name == NOISE_FLOOR_TEXT:
        return replace(case, notes={**case.notes, "roles": ["oracle"]})
    if not case.notes.get("sets_noise_floor"):
        return None
    return replace(case, notes={**case.notes, "roles": ["oracle", "noise_floor"]})
