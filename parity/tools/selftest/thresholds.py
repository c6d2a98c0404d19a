"""How much of the mutants must be caught: the floor that a selftest is held to, from ``thresholds.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Floor:
    """What was reached, and may not be less.

    Attributes:
        families: by family, how many of its mutants are caught.
        checks: by check, how many of all mutants it catches.
        localised: the share of mutants that are first named where they were made.
        slice: the families that every change of the project is tested with.
        holes: mutants that no check catches yet, and why; one that is caught has to be taken off.
        astray: mutants that are caught and first named elsewhere, and why.
        unasked: checks that no mutant is put to, by the beginning of their ids, and why.
    """

    families: dict[str, int]
    checks: dict[str, int]
    localised: float
    slice: list[str]
    holes: dict[str, str]
    astray: dict[str, str]
    unasked: dict[str, str]


@cache
def floor() -> Floor:
    """The one in force."""
    text = resources.files("parity.tools.selftest").joinpath("thresholds.toml").read_text(encoding="utf-8")
    return Floor(**tomllib.loads(text))
