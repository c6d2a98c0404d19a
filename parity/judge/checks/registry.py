"""What a check is: one claim with its source, the cases it reads, and a function that yields what it compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from parity.core.case import Case
from parity.judge.evidence import Evidence
from parity.judge.results import Result

Function = Callable[[Evidence], Iterator[Result]]


@dataclass(frozen=True)
class Check:
    """A claim, ready to be judged. The function's docstring says what breaks it and how that shows."""

    id: str
    group: str
    claim: str
    source: str
    """Where the claim comes from: the documentation page and field, or the definition."""
    likely_cause: str
    """What usually breaks it, shown as ``likely`` in a failure."""
    cases: tuple[str, ...]
    """Names of the cases it is judged on, one cell each; ``*`` stands for anything."""
    also: tuple[str, ...]
    """Other cases of the same subject that it reads."""
    requires: tuple[str, ...]
    needs_oracle: bool
    role: str
    """``candidate``, or ``file`` for a claim about the weight file itself."""
    function: Function
    applies: Callable[[Case], bool] = lambda case: True
    """Whether the claim says anything of a case, as it was asked: of a greedy search, say, and not of beams."""
    reads_raised: bool = False
    """Whether an error is an answer that it judges itself; otherwise what raises has failed."""
    kinds: tuple[str, ...] = ()
    """Kinds of tensors it is about: it says nothing of a model, or of a case, that has none of them. Empty: of all."""


CHECKS: dict[str, Check] = {}


def check(
    id: str,
    *,
    claim: str,
    source: str,
    likely_cause: str,
    cases: tuple[str, ...],
    also: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    needs_oracle: bool = True,
    role: str = "candidate",
    applies: Callable[[Case], bool] = lambda case: True,
    reads_raised: bool = False,
    kinds: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Registers a generator function as a check; its group is the name of its module.

    Raises:
        ValueError: the id is taken.
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
            also,
            requires,
            needs_oracle,
            role,
            function,
            applies,
            reads_raised,
            kinds,
        )
        return function

    return register
