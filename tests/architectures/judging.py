"""What one model may differ from another: measured on honest members, by the budgets of ``parity.judge.tolerance``.

All members are the torch reference with its sums in other orders (fused attention, rows and widths reversed): one
backend, as when ``reference-flax`` is judged in an audit, so the factors are those of a ``twin``. A yardstick from one
backend's members reaches less far than that of an ensemble, and its factors are larger for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from parity.core.tensors import TensorSpec
from parity.judge.tolerance import (
    UNIT_ROUNDOFF,
    Measured,
    Yardstick,
    calibration,
    measure,
    precision_of,
    root_mean_square,
    scale_of,
)
from parity.judge.tolerance import signal as signal_of
from tests.architectures.answers import Answers, spec_of
from tests.architectures.example import Example


@dataclass(frozen=True)
class Compared:
    """One tensor (or text) of a candidate: its error over its budget, the larger of both measures."""

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
        members: answers of honest implementations; what they err sets the budgets.
        rounding: the precision whose unit roundoff no budget goes below.
    """
    names, members, unit = list(names), list(members), UNIT_ROUNDOFF[rounding]
    specs = {name: spec_of(name, asked) for name in truth}
    scales = {name: scale_of(spec, truth) for name, spec in specs.items()}
    yardstick = Yardstick(unit)
    for name, spec in specs.items():
        for member in (member for member in members if name in member):
            yardstick.add("members", spec, measure(member[name], truth[name], scales[name]))
    for name in names:
        spec, found = specs[name], candidate[name]
        if found.shape != truth[name].shape:
            yield Compared(name, np.inf, f"has shape {list(found.shape)}, not {list(truth[name].shape)}")
            continue
        zero = spec.kind == "gradient" and spec.scale_from is not None
        shown = np.inf if zero or not truth[name].any() else signal_of(truth[name], scales[name])
        yield _compared(spec, measure(found, truth[name], scales[name]), yardstick, shown)


def _compared(spec: TensorSpec, error: Measured, yardstick: Yardstick, shown: float) -> Compared:
    budget = yardstick.budget(spec.name, "candidate", "twin")
    if budget is None:
        return Compared(spec.name, np.inf, "no honest member answered")
    note = f"a budget of {budget.slice:.1e} could not have failed" if budget.slice >= shown else ""
    return Compared(spec.name, float(max(error.slice / budget.slice, error.element / budget.element)), note)


def logit_error(truth: Answers, members: Iterable[Answers], rounding: str) -> float:
    """How far a logit may be off, absolutely: the largest element's budget
    (``parity.judge.generated_text.logit_error``)."""
    unit, scale = UNIT_ROUNDOFF[rounding], root_mean_square(truth["logits"])
    honest = max(measure(member["logits"], truth["logits"], scale).element for member in members)
    factors = calibration("twin", "pass", precision_of(unit))
    return factors.k_element * max(honest, factors.c_element * unit) * scale
