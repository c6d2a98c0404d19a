"""What is said of a parameter that no file holds is what the library made of it."""

from __future__ import annotations

import numpy as np
import pytest

from parity.capture.worker.operations import _described
from parity.core.trace import Trace
from parity.judge.initial_values import describe_values

DRAWN = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
HALF = np.full((3, 4), 0x3F80, np.uint16)  # bfloat16's 1, where numpy does not know the type


def loaded(first, second=None, **others):
    arrays = {"x.weight": first, **others}
    facts = {"parameters": {name: _described(array)[0] for name, array in arrays.items()}}
    if second is not None:
        facts["second"] = {"x.weight": _described(second)[0]["digest"]}
    return Trace(facts=facts)


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (loaded(DRAWN, DRAWN + 1), "its values are random and differ between two loads"),
        (loaded(np.zeros((7, 5), np.float32), np.zeros((7, 5), np.float32)), "it is filled with zeros"),
        (loaded(np.ones(100, np.float32), np.ones(100, np.float32)), "it is filled with ones"),
        (loaded(HALF, HALF), "it is filled with ones"),
        (loaded(np.full(100, 0.5, np.float16)), "it is filled with 0.5"),
        (loaded(DRAWN, DRAWN, **{"y.weight": DRAWN}), "it is a copy of y.weight"),
        (loaded(DRAWN, DRAWN), "it has the same values in two loads"),
        (loaded(np.where(DRAWN > 1, np.nan, DRAWN)), "values are NaN or infinite"),
        (loaded(DRAWN), "its values are initialised by the library"),
    ],
)
def test_what_it_is_made_of_is_read_off_its_values(trace, words):
    assert words in describe_values(trace, "x.weight", ["y.weight"])


def test_one_other_element_at_the_end_is_no_fill():
    almost = np.zeros(1000, np.float32)
    almost[-1] = 1e-8
    assert "fill" not in _described(almost)[0] and _described(almost * 0)[0]["fill"] == 0.0
