"""Results of a check: tensors compared with their tolerance, and facts compared with the claim."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One tensor compared with its tolerance."""

    tensor: str
    error: float
    tolerance: float
    measure: str
    """``slice`` (worst root mean square over the last axis), ``element`` (largest single one) or ``gap`` (the
    oracle's score margin of its own token over the chosen one)."""
    at: dict[str, int]
    worst: dict[str, Any] = field(default_factory=dict)
    """Index, actual and expected value of the largest element."""
    slices: int = 0
    """The number of compared slices; 0 if the measure is not ``slice``."""
    slices_over: int = 0
    """The number of slices out of tolerance."""
    over_at: tuple[dict[str, int], ...] = ()
    """The indices of the first few of them."""
    against_oracle: bool = False
    """Whether the expected tensor is the oracle's; otherwise it is another output of the same backend."""
    vacuous: bool = False
    """Whether the tolerance is as large as the error of a deliberately wrong output, so the comparison cannot fail."""
    first_step: int | None = None
    """The first decoder position out of tolerance, if the tensor has positions."""
    what: str = ""
    """The finding as text; empty if the numbers are enough."""
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The error as a multiple of tolerance."""
        return self.error / self.tolerance if self.tolerance else float("inf") if self.error else 0.0

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Finding:
    """One fact that is compared with the claim exactly, without a tolerance."""

    ok: bool
    what: str
    """The finding as text, reported if ``ok`` is false."""
    tensor: str | None = None
    """The tensor or parameter, for localisation."""
    evidence: dict[str, Any] = field(default_factory=dict)
    exercised: bool | None = None
    """Whether this instance exercises the claim, for example a row that reaches ``max_length``; None: always."""


@dataclass(frozen=True)
class Undecided:
    """A comparison without a result. The cell is an error, unless another result of it failed."""

    what: str
    tensor: str | None = None
    ok: bool = True


Decided = Comparison | Finding
"""A result that is right or wrong."""
Result = Decided | Undecided
