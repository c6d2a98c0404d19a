"""Every family and composition agrees with the library, in both references; few examples here, the search asks more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from parity.tools.fuzz.architectures import ARCHITECTURES
from parity.tools.fuzz.search import Choices
from tests.architectures.agreement import compared
from tests.architectures.example import Example, example, example_of
from tests.profiles import examples
from tests.selection import EVERYTHING

TORCH_SHAPES = 4
FLAX = (
    list(ARCHITECTURES)
    if EVERYTHING
    else ["bart", "bart-classification", "mbart-causal", "bert2gpt2", "roberta2mbart", "wav2vec2bart", "hubert2bert"]
)
"""What the Flax reference is compared on: every architecture, or on one machine alone a choice that has each encoder,
decoder and head (``python -m tests.architectures`` has more examples of all)."""
FLAX_SHAPES, FLAX_DRAWS = 1, 3
"""Each shape costs seconds of compilation, which its draws share."""
QUICK = ("bart", "bert2gpt2")
"""Families that every run compares; the others, and Flax, whose compilation takes most of the time, the full one."""
MARKED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in ARCHITECTURES]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors]


def judge(asked: Example, reference: str) -> None:
    found = list(compared(asked, reference))
    assert len(found) > 10
    assert not [(what, each) for what, each in found if each.failed]


@pytest.mark.parametrize("architecture", MARKED)
@examples(TORCH_SHAPES, suppress_health_check=SLOW)
@given(data=st.data())
def test_the_torch_reference_computes_what_the_library_does(architecture: str, data: st.DataObject) -> None:
    model_class, drawn = ARCHITECTURES[architecture]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16), label="seed of weights and inputs"))
    judge(example_of(architecture, model_class, drawn(Choices(data)), rng), "torch")


@pytest.mark.full
@pytest.mark.parametrize("shape", range(FLAX_SHAPES))
@pytest.mark.parametrize("architecture", FLAX)
def test_the_flax_reference_computes_what_the_library_and_the_torch_reference_do(architecture: str, shape: int) -> None:
    for draw in range(FLAX_DRAWS):
        judge(example(architecture, shape, draw), "flax")
