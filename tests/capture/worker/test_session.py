"""The model of a worker, and the random numbers that a case draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from parity.capture.worker.session import Clock, Session
from parity.core.subject import Variant


class Drawing:
    """A model whose answer is random, as with dropout left on."""

    def call(self, inputs):
        return {"torch": torch.rand(3), "numpy": np.random.rand(3), "python": np.array([random.random()])}

    def to_numpy(self, array):
        return np.asarray(array)


def draw(seed: str, calls: int = 1) -> list[dict[str, list[float]]]:
    session = Session(Drawing, Drawing, Variant(), Clock(), seed=seed)
    answers = [session.call({}) for _ in range(calls)]
    return [{name: np.asarray(value).tolist() for name, value in each.items()} for each in answers]


@pytest.mark.parametrize("library", ["torch", "numpy", "python"])
def test_two_cases_and_two_calls_of_one_case_draw_different_numbers(library):
    (first,), (other,) = draw("a"), draw("b")
    assert first[library] != other[library]
    once, again = draw("a", calls=2)
    assert once[library] == first[library] != again[library]


def test_a_case_draws_the_same_whatever_ran_before_it():
    (first,) = draw("a")
    draw("b", calls=3)
    assert draw("a") == [first]
