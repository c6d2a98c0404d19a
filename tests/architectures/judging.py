"""What one model may differ from another: measured on conforming members, by the tolerances of
``parity.judge.tolerance``.

All members are the torch reference with its sums in other orders (fused attention, rows and widths reversed): one
backend, as when ``reference-flax`` is judged in an audit, so the factors are those of a ``peer``. A noise floor from
one backend's members reaches less far than that of an ensemble, and its factors are larger for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from parity.core.tensors import TensorSpec
from parity.judge.tolerance import (
    UNIT_ROUNDOFF,
    Measured,
    NoiseFloor,
    calibration,
    measure,
    precision_of,
    root_mean_square,
    scale_of,
)
from parity.judge.tolerance import signal as detectability_of
from tests.architectures.answers import Answers, spec_of
from tests.architectures.example import Example


@dataclass(frozen=True)
class Compared:
    """One tensor (or text) of a candidate: its error over its tolerance, the larger of both measures."""

    what: str
    ratio: float
    note: str = ""
    """What is wrong, where it cannot be said by a ratio."""

    @property
    def failed(self) -> bool:
        return bool(self.note) or not self.ratio <= 1.0


def judged(
    asked: Example, candidate: Answers, truth: Answers, members: Iterable[Answers], rounding: str, names: Iterable[str]
) -> Iterator[Compared]:
    """Every named tensor of the candidate against the truth.

    Args:
        members: answers of conforming implementations; what they err sets the tolerances.
        rounding: the precision whose unit roundoff no tolerance goes below.
    """
    names, members, unit = list(names), list(members), UNIT_ROUNDOFF[rounding]
    specs = {name: spec_of(name, asked) for name in truth}
    scales = {name: scale_of(spec, truth) for name, spec in specs.items()}
    noise_floor = NoiseFloor(unit)
    for name, spec in specs.items():
        for member in (member for member in members if name in member):
            noise_floor.add("members", spec, measure(member[name], truth[name], scales[name]))
    for name in names:
        spec, found = specs[name], candidate[name]
        if found.shape != truth[name].shape:
            yield Compared(name, np.inf, f"has shape {list(found.shape)}, not {list(truth[name].shape)}")
            continue
        zero = spec.kind == "gradient" and spec.scale_from is not None
        shown = np.inf if zero or not truth[name].any() else detectability_of(truth[name], scales[name])
        yield _compared(spec, measure(found, truth[name], scales[name]), noise_floor, shown)


def _compared(spec: TensorSpec, error: Measured, noise_floor: NoiseFloor, shown: float) -> Compared:
    tolerance = noise_floor.tolerance(spec.name, "candidate", "peer")
    if tolerance is None:
        return Compared(spec.name, np.inf, "no conforming member answered")
    note = f"a tolerance of {tolerance.slice:.1e} could not have failed" if tolerance.slice >= shown else ""
    return Compared(spec.name, float(max(error.slice / tolerance.slice, error.element / tolerance.element)), note)


def logit_error(truth: Answers, members: Iterable[Answers], rounding: str) -> float:
    """How far a logit may be off, absolutely: the largest element's tolerance
    (``parity.judge.generated_text.logit_error``)."""
    unit, scale = UNIT_ROUNDOFF[rounding], root_mean_square(truth["logits"])
    original = max(measure(member["logits"], truth["logits"], scale).element for member in members)
    factors = calibration("peer", "pass", precision_of(unit))
    return factors.k_element * max(original, factors.c_element * unit) * scale
