"""What a backend may differ from the oracle, measured on conforming implementations, never set by hand.

An error is measured twice. ``slice``: the root mean square over the last axis only, relative to one scale for the
whole tensor, in the worst slice; averages over everything would hide one wrong row. ``element``: the largest single
element on the same scale. Each is judged against its own tolerance::

    tolerance = k · max(noise floor, c · unit roundoff · max(1, terms / scale))

The noise floor is the largest such error in an ensemble of conforming implementations (``parity.core.subject``); ``k``
and
``c`` come from ``calibration.toml``, made by ``parity.tools.calibrate``. ``terms`` is known of a sum of terms that may
all but cancel (``parity.backends.reference.softmax_cancellation``): no conforming sum is closer than a rounding of its
terms, even where all members happen to round none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from parity.core.resources import data
from parity.core.tensors import TensorSpec

Measure = Literal["slice", "element"]

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8, "tf32": 2.0**-11}
"""Largest relative error of rounding to nearest (Higham 2002, section 2.1); TF32 keeps 11 bits of significand."""

SMALL = 64
"""Tensors under this many elements give too few samples of their own error: they share that of their kind."""

ALIKE = 1e-11
"""Slices that differ by no more than this are the same numbers, rounded on different ways through float64."""

BLOCK = 1 << 22
"""Elements compared at a time, to bound memory."""


@dataclass(frozen=True)
class Measured:
    """The error of one tensor against another of the same shape, relative to ``scale``."""

    slice: float
    slice_at: tuple[int, ...]
    """Index of the worst slice (all axes but the last)."""
    element: float
    element_at: tuple[int, ...]
    actual: float
    expected: float
    """Both values at ``element_at``."""
    scale: float
    size: int
    slices: np.ndarray
    """Each slice's error, float64, in the tensor's shape without its last axis."""


@dataclass(frozen=True)
class Tolerance:
    """The largest ``slice`` and ``element`` error a conforming implementation makes at this tensor."""

    slice: float
    element: float

    def times(self, factor: float) -> Tolerance:
        return Tolerance(self.slice * factor, self.element * factor)


@dataclass(frozen=True)
class Calibration:
    """The factors measured over random configurations (``calibration.toml``)."""

    k_slice: float
    k_element: float
    c_slice: float
    c_element: float


Members = Literal["ensemble", "peer"]
Work = Literal["pass", "gradient"]
Precision = Literal["float64", "float32", "coarse"]


@cache
def calibration(members: Members, work: Work = "pass", precision: Precision = "float32") -> Calibration:
    """The factors in force.

    Args:
        members: who measured the backend: the whole ensemble, or, for a reference, its peer reference alone. Fewer
        members reach
            less far, so that rounding errors exceed their noise floor by more.
        work: gradients run through every layer twice, and stray further from each other than what a pass returns.
        precision: of a ``coarse`` one (``precision_of``) an error can be so large that it no longer grows in
            proportion, and two conforming backends part. In ``float64``, the oracle's own, its rounding is part of
            every error but its own side's, so that the references' errors say less of the others' and of each other's.
    """
    text = data("judge/data/calibration.toml").read_text(encoding="utf-8")
    return Calibration(**tomllib.loads(text)[class_name(members, work, precision)])


def class_name(members: Members, work: Work, precision: Precision) -> str:
    """What ``calibration.toml`` calls the factors, ``peer-gradient-coarse`` say."""
    return "-".join([members, *(["gradient"] if work == "gradient" else []), precision])


def precision_of(unit_roundoff: float) -> Precision:
    """``coarse`` are bfloat16, float16 and TF32."""
    if unit_roundoff == UNIT_ROUNDOFF["float64"]:
        return "float64"
    return "float32" if unit_roundoff == UNIT_ROUNDOFF["float32"] else "coarse"


def root_mean_square(array: np.ndarray) -> float:
    """One scale for a tensor; 1 where it holds nothing but zeros, so that an error there is absolute."""
    total = sum(float(np.einsum("rw,rw->", block, block, dtype=np.float64)) for _, block in _blocks(array))
    return float(np.sqrt(total / max(array.size, 1))) or 1.0


def scale_of(spec: TensorSpec, arrays: Mapping[str, np.ndarray], minuends: Mapping[str, float] | None = None) -> float:
    """What the error of one of the oracle's ``arrays`` is relative to: its own size, or that of the one it names.

    Args:
        minuends: by name, how large a tensor was before almost as much was subtracted
        (``parity.backends.reference.softmax_cancellation``).
            An error is a rounding of what was there before.
    """
    own = _size(spec.name, arrays, minuends or {})
    if spec.scale_from is None or spec.scale_from not in arrays:
        return own
    lent = _size(spec.scale_from, arrays, minuends or {})
    # A loss is rounded at its own size, which may be many times that of the logits whose noise floor it borrows; so is
    # a text's score, a sum.
    return max(lent, own) if spec.kind in ("loss", "score") else lent


def _size(name: str, arrays: Mapping[str, np.ndarray], minuends: Mapping[str, float]) -> float:
    array, minuend = arrays[name], minuends.get(name, 0.0)
    return max(root_mean_square(array), minuend) if array.any() or not minuend else minuend


def measure(actual: np.ndarray, expected: np.ndarray, scale: float | None = None) -> Measured:
    """How far ``actual`` is from ``expected``.

    A value that is not finite where the expected one is, or the other way round, is an infinite error: NaN
    equals nothing, unless the expected value is undefined in the same place.

    Args:
        actual, expected: the same shape, any float dtypes; compared in float64.
        scale: root mean square of ``expected`` where not given.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if actual.shape != expected.shape or not actual.size:
        raise ValueError(f"cannot compare shapes {list(actual.shape)} and {list(expected.shape)}")
    if scale is None:
        scale = root_mean_square(expected)
    flat_actual, flat_expected = _rows(actual), _rows(expected)
    slices = np.empty(len(flat_expected))
    worst_element = (-1.0, 0)
    for start, block in _blocks(flat_expected):
        difference = _difference(flat_actual[start : start + len(block)], block)
        place = int(difference.argmax())
        largest = float(difference.flat[place])
        squares = np.einsum("rw,rw->r", difference, difference)
        slices[start : start + len(block)] = np.sqrt(squares / difference.shape[1]) / scale
        worst_element = max(worst_element, (largest, start * difference.shape[1] + place), key=lambda found: found[0])
    element_at = tuple(int(i) for i in np.unravel_index(worst_element[1], expected.shape))
    slices = slices.reshape(expected.shape[:-1])
    return Measured(
        slice=float(slices.max()),
        slice_at=tuple(int(i) for i in np.unravel_index(int(slices.argmax()), slices.shape)),
        element=worst_element[0] / scale,
        element_at=element_at,
        actual=float(actual[element_at]),
        expected=float(expected[element_at]),
        scale=scale,
        size=expected.size,
        slices=slices,
    )


def _rows(array: np.ndarray) -> np.ndarray:
    """Every tensor as a table of slices: ``[…, width]`` becomes ``[slices, width]``, a vector or scalar one slice."""
    return array.reshape(-1, array.shape[-1] if array.ndim else 1)


def _blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Runs of rows of at most ``BLOCK`` elements, each with the index of its first row."""
    rows = _rows(array)
    step = max(1, BLOCK // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]


def _difference(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute differences in float64, infinite wherever only one side is finite or infinities disagree."""
    with np.errstate(invalid="ignore"):
        difference = np.subtract(actual, expected, dtype=np.float64)
    np.abs(difference, out=difference)
    if not np.isfinite(difference).all():
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        difference[same] = 0.0
        difference[~np.isfinite(difference)] = np.inf
    return difference


def signal(oracle: np.ndarray, scale: float) -> float:
    """What a plainly wrong answer would measure: the oracle's own tensor with its slices handed to the next place.

    A tolerance that reaches this could never fail, so the comparison proves nothing. Root mean square over all slices;
    where all slices are alike but for the oracle's own rounding (or there is but one number) the wrong answer is zero
    everywhere.
    """
    rows = _rows(oracle)
    rolled = np.roll(rows, 1, axis=0 if len(rows) > 1 else 1)
    total = 0.0
    for start, block in _blocks(oracle):
        difference = block.astype(np.float64) - rolled[start : start + len(block)]
        total += float(np.square(difference).sum())
    moved, whole = float(np.sqrt(total / oracle.size)) / scale, root_mean_square(oracle) / scale
    return moved if moved > ALIKE * whole else whole


class NoiseFloor:
    """The ensemble's errors by backend and tensor, and the tolerances that follow from them."""

    def __init__(self, unit_roundoff: float) -> None:
        self._unit_roundoff = unit_roundoff
        self._errors: dict[str, dict[str, Tolerance]] = {}
        self._specs: dict[str, tuple[TensorSpec, int]] = {}
        self._roundings: dict[str, float] = {}

    def add(self, backend: str, spec: TensorSpec, measured: Measured, terms: float = 0.0) -> None:
        """Takes one member's error at one tensor into account.

        Args:
            terms: how large the terms are that the tensor is a sum of, where they may exceed ``measured.scale``.
        """
        known = self._errors.setdefault(backend, {}).get(spec.name, Tolerance(0.0, 0.0))
        larger = Tolerance(max(known.slice, measured.slice), max(known.element, measured.element))
        self._errors[backend][spec.name] = larger
        self._specs[spec.name] = (spec, measured.size)
        self._roundings[spec.name] = self._unit_roundoff * max(1.0, terms / measured.scale)

    def error(self, tensor: str, judged: str) -> Tolerance | None:
        """The largest rounding error at a tensor, leaving out the members that share the judged backend.

        A reference is measured against its peer reference only: its own error must not excuse itself. None where no
        other member answered.
        """
        others = [errors for backend, errors in self._errors.items() if backend != judged and tensor in errors]
        if not others:
            return None
        found = [errors[tensor] for errors in others]
        spec, size = self._specs[tensor]
        lenders = [errors[spec.scale_from] for errors in others if spec.scale_from in errors]
        # A scalar is a slice of one element, and errs as single elements do; of a text's scores most are padding.
        found += [Tolerance(e.element, e.element) for e in lenders] if size == 1 or spec.kind == "score" else lenders
        if size < SMALL:
            kin = [errors[name] for errors in others for name in errors if self._specs[name][0].kind == spec.kind]
            found.append(
                Tolerance(float(np.median([e.slice for e in kin])), float(np.median([e.element for e in kin])))
            )
        return Tolerance(max(e.slice for e in found), max(e.element for e in found))

    def tolerance(self, tensor: str, judged: str, members: Members | None = None) -> Tolerance | None:
        """What the judged backend may differ from the oracle at a tensor.

        Args:
            members: who measured it, where that does not follow from how many references did.
        """
        error = self.error(tensor, judged)
        if error is None:
            return None
        rounding = self._roundings[tensor]
        # One reference alone reaches less far than two, whoever is judged by it.
        others = [backend for backend, errors in self._errors.items() if backend != judged and tensor in errors]
        members = members or ("peer" if len(others) < 2 else "ensemble")
        work: Work = "gradient" if self._specs[tensor][0].kind == "gradient" else "pass"
        factors = calibration(members, work, precision_of(self._unit_roundoff))
        return Tolerance(
            factors.k_slice * max(error.slice, factors.c_slice * rounding),
            factors.k_element * max(error.element, factors.c_element * rounding),
        )
