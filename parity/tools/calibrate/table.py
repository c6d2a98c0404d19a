"""Computes ``calibration.toml`` from measured rows: ratios, factors by class, and the table they follow from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from parity.judge.tolerance import UNIT_ROUNDOFF, Members, Precision, Work, class_name, precision_of
from parity.tools.calibrate.tail import TAILS, reach

FLOORS = {"slice": 1.0, "element": 4.0}
"""``c``, in unit roundoffs: one rounding of a result, and the largest of several over a tensor."""

Columns = dict[str, np.ndarray]
"""Columns named like the fields of ``measure.Row``, and ``chunk``."""


LARGEST_SIGNAL = 2.0
"""The largest error of a plainly wrong result: two tensors of one size differ by at most twice that size. A check with
a larger tolerance could not fail, so nothing is judged by it (``Comparison.vacuous``)."""


@dataclass(frozen=True)
class Class:
    """Ratios that share their factors (``parity.judge.tolerance.calibration``)."""

    members: Members
    work: Work
    precision: Precision

    @property
    def name(self) -> str:
        return class_name(self.members, self.work, self.precision)

    def of(self, found: Columns) -> np.ndarray:
        """Which rows belong to it."""
        by_peer = np.char.startswith(found["subject"], "reference-") == (self.members == "peer")
        gradient = (found["kind"] == "gradient") == (self.work == "gradient")
        same = {dtype for dtype, unit in UNIT_ROUNDOFF.items() if precision_of(unit) == self.precision}
        return by_peer & gradient & np.isin(found["dtype"], sorted(same))


CLASSES = tuple(
    Class(members, work, precision)
    for precision in get_args(Precision)
    for work in get_args(Work)
    for members in get_args(Members)
)


def judgeable(found: Columns, k: float) -> Columns:
    """The rows whose tolerance, with this ``k`` for slices, is small enough for a check to fail."""
    chosen = k * found["slice_noise_floor"] < LARGEST_SIGNAL
    return {name: column[chosen] for name, column in found.items()}


def ratios(found: Columns, measure: str) -> np.ndarray:
    """Errors as multiples of the noise floors, with the floors ``c`` applied."""
    unit = np.array([UNIT_ROUNDOFF[dtype] for dtype in found["dtype"]])
    return found[measure] / np.maximum(found[f"{measure}_noise_floor"], FLOORS[measure] * unit)


def blocks(found: Columns) -> np.ndarray:
    """Subject and checkpoint of each row: what one audit compares."""
    return _joined(found["chunk"], found["checkpoint"], found["subject"])


def clusters(found: Columns) -> np.ndarray:
    """The architecture of each row, in each chunk."""
    return _joined(found["chunk"], np.char.partition(found["checkpoint"], "-")[:, 0])


def _joined(*columns: np.ndarray) -> np.ndarray:
    joined = columns[0]
    for column in columns[1:]:
        joined = np.char.add(np.char.add(joined, " "), column)
    return joined


def as_toml(found: Columns, about: dict[str, Any]) -> str:
    """The resulting factors, what they were measured on, and the table."""
    lines = [
        "# Written by `python -m parity.tools.calibrate`; not to be edited by hand.",
        "# tolerance = k * max(noise floor, c * unit roundoff); ratio = error / max(noise floor, c * unit roundoff).",
    ]
    for group in CLASSES:
        chosen = group.of(found)
        if chosen.any():
            part = {name: column[chosen] for name, column in found.items()}
            lines += ["", f"[{group.name}]", *_factors(part, TAILS[group.precision])]
    lines += ["", "[measured]", *(f"{name} = {json.dumps(value)}" for name, value in about.items())]
    return "\n".join([*lines, "ratios = [", *_table(found), "]"]) + "\n"


def _factors(found: Columns, tail: float) -> Iterator[str]:
    """``k`` and ``c`` of one class, with the figures they were chosen by."""
    k = smallest_factor(found, tail)
    for measure, floor in FLOORS.items():
        judged = judgeable(found, k)
        estimated, confident = _reach(judged, measure, tail)
        largest = ratios(judged, measure).max()
        chosen = k if measure == "slice" else _rounded_up(confident)
        yield f"k_{measure} = {chosen} # estimated {estimated:.2f}, largest of {len(judged['kind'])}: {largest:.2f}"
        yield f"c_{measure} = {floor}"


def smallest_factor(found: Columns, tail: float) -> float:
    """The smallest ``k`` for slices that covers the ratios of the rows that are still judged with it.

    In coarse precision on an ill-conditioned model, errors are as large as the numbers and their ratios are unbounded;
    but there no tolerance is small enough for a check to fail. The larger ``k``, the fewer ratios are judged, so there
    is a unique smallest one.
    """
    low, high = 0.0, _rounded_up(_reach(found, "slice", tail)[1])
    while high - low > 0.15:
        middle = round((low + high) / 2, 1)
        judged = judgeable(found, middle)
        if len(judged["kind"]) and _reach(judged, "slice", tail)[1] > middle:
            low = middle
        else:
            high = middle
    return high


def _reach(found: Columns, measure: str, tail: float) -> tuple[float, float]:
    return reach(ratios(found, measure), blocks(found), clusters(found), tail)


def _rounded_up(value: float) -> float:
    """Rounds up to one decimal."""
    return float(np.ceil(value * 10) / 10)


def _table(found: Columns) -> Iterator[str]:
    """One line for each dtype, kind, backend and measure."""
    words = ("dtype", "kind", "subject")
    groups, index = np.unique(np.stack([found[word] for word in words]), axis=1, return_inverse=True)
    for number, group in enumerate(groups.T):
        for measure in FLOORS:
            values = ratios(found, measure)[index == number]
            named = [f'{word} = "{value}"' for word, value in zip(words, group, strict=True)]
            quantiles = zip(("median", "q99", "largest"), np.quantile(values, [0.5, 0.99, 1.0]), strict=True)
            shown = [f"{name} = {value:.3g}" for name, value in quantiles]
            fields = [*named, f'measure = "{measure}"', f"count = {len(values)}", *shown]
            yield f"    {{ {', '.join(fields)} }},"
