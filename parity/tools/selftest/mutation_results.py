"""Results of mutations: of one, of all of a library, and their JSON Lines file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from parity.core.errors import InputError
from parity.report.export.writing import append

OUTCOMES = ("detected", "survived", "repaired", "no effect", "not executed")
OWN_OUTCOMES = ("detected", "passed", "not executed")
"""In the library's own tests."""
NEAR = 1
"""Layers or decoding steps between a change and where a failure names it, for it to count as located."""


class Fault(Protocol):
    """A mutation, or an argument that is ignored (``parity.tools.selftest.arguments``)."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def module(self) -> str: ...


class MutationResult(BaseModel):
    """The result of one mutation."""

    model_config = ConfigDict(frozen=True)
    mutation: str
    text: str
    operator: str
    module: str
    outcome: str
    """``not executed``; ``detected``; ``survived`` (an answer changed, and no check failed); ``repaired`` (the same,
    and a cell passes that has a known issue without the mutation); or ``no effect`` (every answer has the same bytes,
    draws aside)."""
    checks: list[str] = []
    """Checks that failed."""
    case: str = ""
    """The first failing case."""
    first: str = ""
    """The first divergence there, or the exception."""
    kind: str = ""
    """What the failure names: a ``tensor``, a decoding ``step``, an ``exception`` or a ``fact``
    (``parity.tools.selftest.located``)."""
    distance: int | None = None
    """Layers or steps between that and the first byte that the mutation changes; None if the failure names neither."""
    cases: int = 0
    """The number of cases that were run."""
    fixtures: list[str] = []
    """The checkpoints that it was run on."""
    own_tests: str = ""
    """What the library's own tests say of it: ``detected``, ``passed`` or ``not executed``; empty where they were not
    run."""
    own_test: str = ""
    """The test that fails."""


class LibraryScore(BaseModel):
    """What was mutated, and the results."""

    model_config = ConfigDict(frozen=True)
    library: str
    seed: int
    population: dict[str, int] = {}
    """By module, the number of mutations of functions that a case executes."""
    functions: dict[str, tuple[int, int]] = {}
    """By module, the number of functions that a case executes, and of all."""
    own_tests: tuple[int, int, int] | None = None
    """Of the library's own tests, how many were collected, pass, and are run."""
    results: list[MutationResult] = []

    def count(self, *outcomes: str) -> int:
        return sum(each.outcome in outcomes for each in self.results)

    @property
    def score(self) -> float:
        """The share of mutations that are detected, of those that change an answer."""
        return self.count("detected") / max(1, self.count("detected", "survived"))

    @property
    def score_of_executed(self) -> float:
        """The same, of all whose line is executed: those without an effect count as not detected."""
        return self.count("detected") / max(1, self.count("detected", "survived", "repaired", "no effect"))

    @property
    def located(self) -> int:
        """The detected mutations that a failure names within ``NEAR`` layers or steps."""
        return sum(each.outcome == "detected" and is_located(each) for each in self.results)


def is_located(result: MutationResult) -> bool:
    """Whether the failure names the place of the change, within ``NEAR`` layers or steps."""
    return result.distance is not None and result.distance <= NEAR


def result_of(fault: Fault, outcome: str, **more: Any) -> MutationResult:
    """The result of a fault."""
    about = {"text": fault.text, "operator": fault.operator, "module": fault.module}
    return MutationResult(mutation=fault.name, outcome=outcome, **about, **more)


def stored(out: Path | None) -> list[MutationResult]:
    """The results in a JSON Lines file; none where there is no file.

    Raises:
        InputError: it is another file.
    """
    if out is None or not out.exists():
        return []
    try:
        return [MutationResult.model_validate_json(line) for line in out.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{out}: not the results of mutations: {error}") from error


def store(out: Path | None, result: MutationResult) -> MutationResult:
    """Appends a result to a JSON Lines file, if there is one, and returns it.

    Raises:
        OutputError: it cannot be written.
    """
    if out is not None:
        append(out, result.model_dump_json() + "\n")
    return result
