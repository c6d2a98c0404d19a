"""One plot: the error of every tensor in data-flow order, on a logarithmic axis, with noise floor and tolerance as
steps.

Plain numbers for an SVG: the template writes them out. An error of zero has a strip of its own below the axis, an
error without a number one above it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from parity.core.records import MeasuredError

HEIGHT = 170
"""Of the logarithmic part."""
LEFT, RIGHT, TOP, STRIP = 44, 8, 8, 26
CHARACTER = 5.6
"""Width of a character of the labels."""
WIDTH, WIDEST, NARROW, CROWD = 570, 34, 11, 160
"""Few tensors share a width, up to so wide each; many are narrow, and a crowd narrower still and without labels."""

Height = Callable[[float], float]
"""From a number to where it stands on the axis."""

_PLACES = (
    re.compile(r"gradient\.(?:model\.)?(?P<group>(?:encoder|decoder)(?:\.layers\.\d+)?)\.(?P<name>.+)"),
    re.compile(r"(?P<group>encoder|decoder)\.(?P<name>.+)"),
    re.compile(r"(?P<group>)gradient\.(?:model\.)?(?P<name>.+)"),
)


@dataclass(frozen=True)
class Point:
    """One tensor's error."""

    x: float
    y: float
    kind: str
    """``inside`` or ``outside`` its tolerance, ``equal`` (zero), ``none`` (no number)."""
    hover: str


@dataclass(frozen=True)
class Label:
    x: float
    text: str


@dataclass(frozen=True)
class Band:
    """Neighbouring tensors of one part of the model."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Coordinates in pixels, the origin at the upper left."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    """Of the logarithmic part."""
    zero: float
    """Where an error of zero is drawn."""
    nothing: float | None
    """Where a missing number is drawn; None where all tensors have one."""
    decades: list[Label]
    """Height and name of each gridline; ``x`` is its height."""
    labels: list[Label]
    bands: list[Band]
    tolerance: str
    """Path of the step line; empty where there is no tolerance."""
    noise_floor: str
    points: list[Point]
    alt: str
    """What a reader hears who cannot see it."""


def decades_of(rows: Iterable[MeasuredError]) -> tuple[int, int]:
    """The powers of ten that hold every number of these rows, so that plots side by side can share an axis."""
    numbers = [n for row in rows for n in (row.error, row.tolerance, row.noise_floor) if n]
    low = math.floor(math.log10(min(numbers, default=1e-8)))
    return low, max(math.ceil(math.log10(max(numbers, default=1.0))), low + 1)


def plot(rows: list[MeasuredError], decades: tuple[int, int]) -> Plot:
    """The plot of one subject in one case.

    Args:
        rows: in data-flow order, one for each tensor.
        decades: lowest and highest power of ten on the axis, from ``decades_of``.
    """
    labelled = len(rows) <= CROWD
    slot = min(WIDEST, max(NARROW, WIDTH // len(rows))) if labelled else NARROW // 2
    above = STRIP if any(row.error is None for row in rows) else 0
    top = TOP + above
    bottom = top + HEIGHT
    right = LEFT + slot * len(rows)
    names = [_place(row.tensor) for row in rows]
    labels = [Label(LEFT + slot * (n + 0.5), name) for n, (_, name) in enumerate(names)] if labelled else []
    longest = max((len(label.text) for label in labels), default=0)

    def height(number: float) -> float:
        share = (math.log10(number) - decades[0]) / (decades[1] - decades[0])
        return round(bottom - HEIGHT * share, 1)

    step = max(1, (decades[1] - decades[0]) // 8)
    outside = sum(is_outside(row) for row in rows)
    return Plot(
        width=max(right + RIGHT, 260),
        height=bottom + STRIP + CHARACTER * longest + 34,
        left=LEFT,
        right=right,
        top=top,
        bottom=bottom,
        zero=bottom + STRIP * 0.6,
        nothing=TOP + STRIP * 0.4 if above else None,
        decades=[Label(height(10.0**power), f"1e{power}") for power in range(decades[0], decades[1] + 1, step)],
        labels=labels,
        bands=_bands([group for group, _ in names], slot),
        tolerance=_steps([row.tolerance for row in rows], slot, height),
        noise_floor=_steps([row.noise_floor for row in rows], slot, height),
        points=[_point(row, LEFT + slot * (n + 0.5), height, bottom, TOP) for n, row in enumerate(rows)],
        alt=f"{len(rows)} tensors in data-flow order, {outside} outside their tolerance",
    )


def is_outside(row: MeasuredError) -> bool:
    """Whether a tensor is past its tolerance, in its slices or its elements, or has no number at all."""
    return row.error is None or (row.ratio is not None and row.ratio > 1)


def _point(row: MeasuredError, x: float, height: Height, bottom: float, top: float) -> Point:
    at = f" at {row.at}" if row.at else ""
    if row.error is None:
        return Point(x, top + STRIP * 0.4, "none", f"{row.tensor}{at} {row.note}")
    kind = "outside" if is_outside(row) else "inside" if row.error else "equal"
    y = height(row.error) if row.error else bottom + STRIP * 0.6
    return Point(x, y, kind, f"{row.tensor}{at}\n{_measure(row)}")


def _measure(row: MeasuredError) -> str:
    error = f"error {row.error:.2e}" if row.error else "error 0, no difference at all"
    if row.tolerance is None or row.ratio is None:
        return f"{error}; no tolerance: no conforming implementation answered"
    ratio = f"{row.ratio:,.3g} × tolerance"
    if row.ratio > 1 and row.error is not None and row.error <= row.tolerance:
        ratio += " (its worst element; the slices are inside)"
    return f"{error} · {ratio}\ntolerance {row.tolerance:.2e} · noise floor {row.noise_floor or 0:.2e}"


def _steps(numbers: list[float | None], slot: float, height: Height) -> str:
    """A step line over the tensors' slots, broken where there is no number."""
    path, drawing = [], False
    for place, number in enumerate(numbers):
        if not number:
            drawing = False
            continue
        y = height(number)
        start, end = LEFT + slot * place, LEFT + slot * (place + 1)
        path.append(f"V{y}H{end}" if drawing else f"M{start} {y}H{end}")
        drawing = True
    return "".join(path)


def _place(tensor: str) -> tuple[str, str]:
    """The part of the model, and the tensor's name in it."""
    for pattern in _PLACES:
        if found := pattern.fullmatch(tensor):
            return found["group"], found["name"]
    return "", tensor


def _bands(groups: list[str], slot: float) -> list[Band]:
    bands, place = [], 0
    for group, members in groupby(groups):
        count = len(list(members))
        if group:
            width = slot * count
            shown = next((text for text in (group, group.replace("layers.", ""), group[:3]) if _fits(text, width)), "")
            bands.append(Band(LEFT + slot * place, width, shown))
        place += count
    return bands


def _fits(text: str, width: float) -> bool:
    return len(text) * CHARACTER <= width
