"""One plot: the error of every tensor as a multiple of its tolerance, in data-flow order, on a logarithmic axis.

Plain numbers for an SVG: the template writes them out. An error of zero has a strip of its own below the axis, an
error that is no multiple of anything (no number, or no tolerance) one above it.
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
LEFT, RIGHT, TOP, STRIP = 56, 8, 28, 26
CHARACTER = 6.1
"""Width of a character of the labels."""
BAND = 20
"""Height of the line that names the parts of the model."""
WIDTH, WIDEST = 576, 34
"""All tensors share a width; few of them take up to so much each."""
LINE = 11
"""Least distance of two labels."""
FARTHEST = 1e30
"""What is farther past its tolerance is drawn here."""

Height = Callable[[float], float]
"""From a multiple of tolerance to where it is on the axis."""

_NAME_PATTERNS = (
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
    """``inside`` or ``outside`` its tolerance, ``equal`` (zero), ``none`` (no number), ``free`` (no tolerance)."""
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
class Value:
    """One line of the table that has the plot's numbers."""

    tensor: str
    at: str
    kind: str
    ratio: float | None
    error: float | None
    tolerance: float | None
    noise_floor: float | None
    note: str


@dataclass(frozen=True)
class Plot:
    """Coordinates in pixels, the origin at the upper left."""

    width: float
    height: float
    short: float
    """Height without the tensors' names, for a narrow screen."""
    left: float
    right: float
    top: float
    bottom: float
    """Of the logarithmic part."""
    one: float
    """Where an error equal to its tolerance is drawn."""
    zero: float
    """Where an error of zero is drawn."""
    nothing: float | None
    """Where a missing number is drawn; None where all tensors have one."""
    decades: list[Label]
    """Height and name of each gridline; ``x`` is its height."""
    labels: list[Label]
    """Names of tensors, as many as there is room for: those outside their tolerance first."""
    bands: list[Band]
    noise_floor: str
    """Path of the step line; empty where there is none."""
    points: list[Point]
    values: list[Value]
    alt: str
    """What a screen reader reads."""


def decades_of(rows: Iterable[MeasuredError]) -> tuple[int, int]:
    """The powers of ten that contain the tolerance and every multiple of it, so that plots can share an axis."""
    numbers = [1.0]
    for row in rows:
        numbers += [min(n, FARTHEST) for n in (row.ratio, _floor(row)) if n]
    return min(math.floor(math.log10(min(numbers))), -1), max(math.ceil(math.log10(max(numbers))), 1)


def plot(rows: list[MeasuredError], decades: tuple[int, int]) -> Plot:
    """The plot of one subject in one case.

    Args:
        rows: in data-flow order, one for each tensor.
        decades: lowest and highest power of ten on the axis, from ``decades_of``.
    """
    slot = min(WIDEST, WIDTH / len(rows))
    above = STRIP if any(row.ratio is None for row in rows) else 0
    top = TOP + above
    bottom = top + HEIGHT
    right = round(LEFT + slot * len(rows), 1)
    names = [_band_of(row.tensor) for row in rows]
    labels = _labels(rows, [name for _, name in names], slot)
    longest = max((len(label.text) for label in labels), default=0)
    zero = bottom + STRIP * 0.6
    short = zero + STRIP * 0.4 + BAND

    def height(number: float) -> float:
        share = (math.log10(min(number, FARTHEST)) - decades[0]) / (decades[1] - decades[0])
        return round(bottom - HEIGHT * share, 1)

    return Plot(
        width=max(right + RIGHT, 260),
        height=short + 12 + CHARACTER * longest,
        short=short,
        left=LEFT,
        right=right,
        top=top,
        bottom=bottom,
        one=height(1.0),
        zero=zero,
        nothing=TOP + STRIP * 0.4 if above else None,
        decades=_decades(decades, height),
        labels=labels,
        bands=_bands([group for group, _ in names], slot),
        noise_floor=_steps([_floor(row) for row in rows], slot, height),
        points=[_point(row, round(LEFT + slot * (n + 0.5), 1), height, zero, TOP) for n, row in enumerate(rows)],
        values=[_value(row) for row in rows],
        alt=f"{len(rows)} tensors in data-flow order, {sum(is_outside(row) for row in rows)} outside their tolerance",
    )


def is_outside(row: MeasuredError) -> bool:
    """Whether a tensor is past its tolerance, in its slices or its elements, or has no number at all."""
    return row.error is None or (row.ratio is not None and row.ratio > 1)


def _floor(row: MeasuredError) -> float | None:
    """The noise floor as a multiple of tolerance."""
    return row.noise_floor / row.tolerance if row.noise_floor and row.tolerance else None


def _kind(row: MeasuredError) -> str:
    if row.error is None:
        return "none"
    if row.ratio is None:
        return "free" if row.error else "equal"
    return "outside" if is_outside(row) else "inside" if row.ratio else "equal"


def _decades(decades: tuple[int, int], height: Height) -> list[Label]:
    """At most nine gridlines; the tolerance is one of them."""
    step = max(1, math.ceil((decades[1] - decades[0]) / 8))
    powers = [power for power in range(decades[0], decades[1] + 1) if power % step == 0]
    return [Label(height(10.0**power), _power(power)) for power in powers]


def _power(power: int) -> str:
    return f"{10.0**power:g}" if -3 <= power <= 3 else f"1e{power}"


def _labels(rows: list[MeasuredError], names: list[str], slot: float) -> list[Label]:
    """Names that do not overlap: first those outside, then the others from left to right."""
    chosen: dict[int, Label] = {}
    apart = math.ceil(LINE / slot)
    for number in sorted(range(len(rows)), key=lambda n: not is_outside(rows[n])):
        if not any(near in chosen for near in range(number - apart + 1, number + apart)):
            chosen[number] = Label(round(LEFT + slot * (number + 0.5), 1), names[number])
    return [chosen[number] for number in sorted(chosen)]


def _point(row: MeasuredError, x: float, height: Height, zero: float, top: float) -> Point:
    kind, at = _kind(row), f" at {row.at}" if row.at else ""
    if kind == "none":
        return Point(x, top + STRIP * 0.4, kind, f"{row.tensor}{at} {row.note}")
    y = zero if kind == "equal" else height(row.ratio) if row.ratio else top + STRIP * 0.4
    return Point(x, y, kind, f"{row.tensor}{at}\n{_measure(row)}")


def _measure(row: MeasuredError) -> str:
    error = f"error {row.error:.2e}" if row.error else "error 0, no difference"
    if row.tolerance is None or row.ratio is None:
        return f"{error}; no tolerance: no conforming implementation has this tensor"
    ratio = f"{row.ratio:,.3g} × tolerance{_of_element(row)}"
    return f"{ratio} · {error}\ntolerance {row.tolerance:.2e} · noise floor {row.noise_floor or 0:.2e}"


def _of_element(row: MeasuredError) -> str:
    """Said where the ratio is not the one of the error beside it."""
    inside = row.error is not None and row.tolerance is not None and row.error <= row.tolerance
    return " (greatest element; the slices are inside)" if is_outside(row) and inside else ""


def _value(row: MeasuredError) -> Value:
    at = f"[{', '.join(map(str, row.at))}]" if row.at else ""
    note = row.note or _of_element(row).strip(" ()")
    return Value(row.tensor, at, _kind(row), row.ratio, row.error, row.tolerance, row.noise_floor, note)


def _steps(numbers: list[float | None], slot: float, height: Height) -> str:
    """A step line over the tensors' slots, broken where there is no number."""
    path, drawing = [], False
    for index, number in enumerate(numbers):
        if not number:
            drawing = False
            continue
        y = height(number)
        start, end = round(LEFT + slot * index, 1), round(LEFT + slot * (index + 1), 1)
        path.append(f"V{y}H{end}" if drawing else f"M{start} {y}H{end}")
        drawing = True
    return "".join(path)


def _band_of(tensor: str) -> tuple[str, str]:
    """The part of the model, and the tensor's name in it."""
    for pattern in _NAME_PATTERNS:
        if found := pattern.fullmatch(tensor):
            return found["group"], found["name"]
    return "", tensor


def _bands(groups: list[str], slot: float) -> list[Band]:
    bands, index = [], 0
    for group, members in groupby(groups):
        count = len(list(members))
        if group:
            width = round(slot * count, 1)
            shown = next((text for text in (group, group.replace("layers.", ""), group[:3]) if _fits(text, width)), "")
            bands.append(Band(round(LEFT + slot * index, 1), width, shown))
        index += count
    return bands


def _fits(text: str, width: float) -> bool:
    return len(text) * CHARACTER <= width
