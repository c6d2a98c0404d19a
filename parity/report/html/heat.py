"""A heat map for each subject: which layers err at which positions of the sequence, as a multiple of tolerance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parity.core.records import MeasuredError

STEPS = (0.1, 0.3, 1.0, 10.0, 1000.0)
"""Where one shade ends and the next begins; the tolerance is one of them."""


@dataclass(frozen=True)
class Spot:
    """One layer at one position."""

    shade: int
    """0 to ``len(STEPS)``."""
    hover: str


@dataclass(frozen=True)
class HeatRow:
    """One tensor."""

    tensor: str
    spots: list[Spot]


@dataclass(frozen=True)
class HeatMap:
    """The tensors of a pass that have positions, in data-flow order."""

    rows: list[HeatRow]
    width: int
    """Positions of the longest row."""
    outside: bool
    """Whether anything is past its tolerance."""


def heat_map(rows: Iterable[MeasuredError]) -> HeatMap | None:
    """The map of one subject's forward pass; None where nothing has a position."""
    found = [
        HeatRow(row.tensor, [_spot(row.tensor, *spot) for spot in enumerate(row.places)]) for row in rows if row.places
    ]
    if not found:
        return None
    hottest = max(spot.shade for row in found for spot in row.spots)
    return HeatMap(found, max(len(row.spots) for row in found), hottest > STEPS.index(1.0))


def _spot(tensor: str, position: int, ratio: float) -> Spot:
    return Spot(sum(ratio > step for step in STEPS), f"{tensor} at position {position}: {ratio:,.3g} × tolerance")
