"""What a check yields: a tensor held against its tolerance, or a fact held against the claim."""

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
    """``slice`` (worst root mean square over the last axis), ``element`` (largest single one) or ``gap`` (how far the
    oracle puts the token taken behind another)."""
    at: dict[str, int]
    worst: dict[str, Any] = field(default_factory=dict)
    """Index, actual and expected value of the largest element."""
    slices: int = 0
    """How many slices were compared; 0 where the measure is no error of slices …"""
    slices_over: int = 0
    """… how many of them are out of tolerance …"""
    over_at: tuple[dict[str, int], ...] = ()
    """… and where the first few of these are."""
    against_oracle: bool = False
    """Whether it stands against the oracle's answer, or against another answer of the same backend."""
    vacuous: bool = False
    """Whether a plainly wrong answer would have stayed within the tolerance too."""
    first_step: int | None = None
    """The first decoder position out of tolerance, where the tensor has any."""
    what: str = ""
    """What was found, as the end of a sentence, where the numbers alone do not say it."""
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
    """One fact held against the claim, where there is no number to tolerance."""

    ok: bool
    what: str
    """What was found, as the end of a sentence; shown where it is not ok."""
    tensor: str | None = None
    """The tensor or parameter it is about, for localisation."""
    evidence: dict[str, Any] = field(default_factory=dict)
    exercised: bool | None = None
    """Whether this instance put a universal claim to the test; None where that goes without saying."""


@dataclass(frozen=True)
class Undecided:
    """What could be shown neither right nor wrong: the cell is an error, unless something else in it is wrong."""

    what: str
    tensor: str | None = None
    ok: bool = True


Held = Comparison | Finding
"""What was held against something, and is right or wrong."""
Result = Held | Undecided
