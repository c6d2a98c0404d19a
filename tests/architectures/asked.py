"""Both references asked alike: built from drawn weights in float64, and answering in host arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from reference.config import Config
from tests.architectures.answers import REFERENCES

BOTH = ["torch", pytest.param("flax", marks=pytest.mark.full)]
"""The references, to parametrize with: what XLA compiles for each formula takes most of the time."""
DOUBLE = 1e-12
"""Relative to a tensor's largest element: float64 keeps 16 digits, and a few layers lose two or three of them."""


@dataclass(frozen=True)
class Target:
    """One model of one reference."""

    reference: str
    model: Any

    @classmethod
    def build(cls, reference: str, config: Config, model_class: str, weights: Mapping[str, np.ndarray]) -> Target:
        model = REFERENCES[reference].build(config, weights, model_class=model_class, dtype="float64")
        return cls(reference, model)

    def __call__(self, how: str = "__call__", *given: Any, **named: Any) -> Any:
        """The output of a method; floats are given in float64, whole numbers as ids."""
        arrays = {str(place): np.asarray(each) for place, each in enumerate(given)} | named
        inputs = REFERENCES[self.reference].as_inputs(self.model, arrays)
        return getattr(self.model, how)(
            *(inputs[str(place)] for place in range(len(given))), **{name: inputs[name] for name in named}
        )


def host(array: Any) -> np.ndarray:
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


def ragged(rows: list[list[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows filled up on the right, and the mask of what they were."""
    length = max(map(len, rows))
    ids = np.array([row + [pad] * (length - len(row)) for row in rows])
    return ids, np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows])


def assert_close(actual: Any, expected: np.ndarray) -> None:
    """The same shape, and no further apart than the rounding of float64."""
    actual = host(actual)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=DOUBLE * np.abs(expected).max())
