"""The thresholds of the selftest, from ``thresholds.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Thresholds:
    """Results that a selftest must reach.

    Attributes:
        families: by family, the number of mutants that must be caught.
        checks: by check, the number of mutants that it must catch.
        localised: the share of mutants that must be localised.
        slice: the families that are tested with every change of the project.
        not_caught: mutants that no check catches yet, with the reason; a caught one must be removed.
        not_localised: mutants that are caught, but not localised, with the reason.
        without_mutants: prefixes of ids of checks that judge no mutant, with the reason.
    """

    families: dict[str, int]
    checks: dict[str, int]
    localised: float
    slice: list[str]
    not_caught: dict[str, str]
    not_localised: dict[str, str]
    without_mutants: dict[str, str]


@cache
def thresholds() -> Thresholds:
    """The thresholds in force."""
    text = resources.files("parity.tools.selftest").joinpath("thresholds.toml").read_text(encoding="utf-8")
    return Thresholds(**tomllib.loads(text))
