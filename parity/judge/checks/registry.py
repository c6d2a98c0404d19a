"""The check registry. A check is one claim with its source, the cases it reads, and a function that yields results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from parity.core.case import Case
from parity.judge.evidence import Evidence
from parity.judge.results import Result

Function = Callable[[Evidence], Iterator[Result]]


@dataclass(frozen=True)
class Check:
    """One registered claim. The docstring of ``function`` describes how a fault shows in the compared tensors."""

    id: str
    group: str
    claim: str
    source: str
    """The documentation page and field that state the claim, or its definition."""
    likely_cause: str
    """The usual cause of a failure, printed with it."""
    cases: tuple[str, ...]
    """Names of the cases to judge, one cell each; ``*`` matches anything."""
    depends_on: tuple[str, ...]
    """Other cases of the same subject that the check reads."""
    requires: tuple[str, ...]
    needs_oracle: bool
    role: str
    """``candidate``, or ``file`` for a claim about the weight file itself."""
    function: Function
    applies: Callable[[Case], bool] = lambda case: True
    """Whether the claim applies to a case with its settings, for example to greedy search but not to beam search."""
    handles_exceptions: bool = False
    """Whether the check itself judges a case that raised; otherwise an exception is a failure."""
    kinds: tuple[str, ...] = ()
    """Tensor kinds to compare; a model or case without any of them has no cell. Empty: all kinds."""


CHECKS: dict[str, Check] = {}


def check(
    id: str,
    *,
    claim: str,
    source: str,
    likely_cause: str,
    cases: tuple[str, ...],
    depends_on: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    needs_oracle: bool = True,
    role: str = "candidate",
    applies: Callable[[Case], bool] = lambda case: True,
    handles_exceptions: bool = False,
    kinds: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Registers a generator function as a check. Its group is the name of its module.

    Args:
        id: unique, for example ``NUM01``.
        claim, source, likely_cause, cases, depends_on, requires: see ``Check``.
        needs_oracle: without the oracle's trace the cell is an error.
        role, applies, handles_exceptions, kinds: see ``Check``.

    Raises:
        ValueError: the id is already registered.
    """

    def register(function: Function) -> Function:
        if id in CHECKS:
            raise ValueError(f"check {id} is defined twice")
        group = function.__module__.rpartition(".")[2]
        CHECKS[id] = Check(
            id,
            group,
            claim,
            source,
            likely_cause,
            cases,
            depends_on,
            requires,
            needs_oracle,
            role,
            function,
            applies,
            handles_exceptions,
            kinds,
        )
        return function

    return register
