"""What a check is: one claim with its source, the cases it reads, and a function that yields what it compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.evidence import Evidence


@dataclass(frozen=True)
class Comparison:
    """One tensor compared with its budget."""

    tensor: str
    error: float
    budget: float
    measure: str
    """``slice`` (worst root mean square over the last axis) or ``element`` (largest single one)."""
    at: dict[str, int]
    worst: dict[str, Any] = field(default_factory=dict)
    """Index, actual and expected value of the largest element."""
    slices_over: int = 0
    """How many slices are out of budget …"""
    over_at: tuple[dict[str, int], ...] = ()
    """… and where the first few of them are."""
    against_oracle: bool = False
    """Whether it stands against the oracle's answer, or against another answer of the same backend."""
    vacuous: bool = False
    """Whether a plainly wrong answer would have stayed inside the budget too."""

    @property
    def ratio(self) -> float:
        """The error in budgets."""
        return self.error / self.budget if self.budget else float("inf") if self.error else 0.0

    @property
    def ok(self) -> bool:
        return self.error <= self.budget


@dataclass(frozen=True)
class Finding:
    """One fact held against the claim, where there is no number to budget."""

    ok: bool
    what: str
    """What was found, as the end of a sentence; shown where it is not ok."""
    tensor: str | None = None
    """The tensor or parameter it is about, for localisation."""
    evidence: dict[str, Any] = field(default_factory=dict)


Result = Comparison | Finding
Function = Callable[["Evidence"], Iterator[Result]]


@dataclass(frozen=True)
class Check:
    """A claim, ready to be judged. The function's docstring says what breaks it and how that shows."""

    id: str
    family: str
    claim: str
    source: str
    """Where the claim comes from: the documentation page and field, or the definition."""
    usually: str
    """What usually breaks it, shown as ``likely`` in a failure."""
    cases: tuple[str, ...]
    """Names of the cases it is judged on, one cell each."""
    also: tuple[str, ...]
    """Other cases of the same subject that it reads."""
    requires: tuple[str, ...]
    needs_oracle: bool
    role: str
    """``candidate``, or ``file`` for a claim about the weight file itself."""
    function: Function


CHECKS: dict[str, Check] = {}


def check(
    id: str,
    *,
    claim: str,
    source: str,
    usually: str,
    cases: tuple[str, ...],
    also: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    needs_oracle: bool = True,
    role: str = "candidate",
) -> Callable[[Function], Function]:
    """Registers a generator function as a check; its family is the name of its module.

    Raises:
        ValueError: the id is taken.
    """

    def register(function: Function) -> Function:
        if id in CHECKS:
            raise ValueError(f"check {id} is defined twice")
        family = function.__module__.rpartition(".")[2]
        CHECKS[id] = Check(id, family, claim, source, usually, cases, also, requires, needs_oracle, role, function)
        return function

    return register
