"""A reference whose widths run backwards gives the same answers by other sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.backends.reference.reversed_widths import ReversedWeights, reversed_axes
from parity.backends.registry import get_backend
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture
from parity.core.subject import Variant, noise_floor_ensemble
from parity.core.trace import Trace
from reference.config import BartConfig
from reference.names import table_of
from reference.weights import read_weights

CASES = (
    "forward",
    "forward.head-masks",
    "encode-decode",
    "decode-steps.reordered",
    "loss",
    "gradients",
    "generate.beams",
)
CLASS = "BartForConditionalGeneration"
REFERENCES = ("reference-torch", "reference-flax")
PARAMS = ["reference-torch", pytest.param("reference-flax", marks=pytest.mark.full)]


def answers(backend: str, variant: str, dtype: str, tmp_path: Path) -> dict[str, Trace]:
    loader, checkpoint = get_backend(backend), fixture("bart-odd")
    loader.setup(threads=1, device="cpu", cache=tmp_path)
    model = loader.load(checkpoint, Variant.parse(variant), device="cpu", dtype=dtype, model_class=CLASS)
    read = inspect_checkpoint(checkpoint)
    cases = {case.name: case for case in standard_cases(read.model_spec, None, read.generation)}
    session = Session(lambda: model, lambda: model, Variant.parse(variant), Clock())
    return {name: perform(cases[name], session) for name in CASES}


@pytest.mark.parametrize("backend", PARAMS)
def test_in_float64_every_array_is_the_same(backend: str, tmp_path: Path) -> None:
    plain, reversed_widths = (
        answers(backend, variant, "float64", tmp_path) for variant in ("eager", "eager+reversed-widths")
    )
    for name in CASES:
        assert list(reversed_widths[name].arrays) == list(plain[name].arrays) and plain[name].arrays
        for tensor, array in plain[name].arrays.items():
            # Theory says that a key's bias has no gradient: what there is of it is rounding, at the weight's size.
            size = np.abs(plain[name].arrays[tensor.replace("k_proj.bias", "k_proj.weight")]).max()
            np.testing.assert_allclose(
                reversed_widths[name].arrays[tensor], array, rtol=0, atol=1e-11 * size, err_msg=tensor
            )


@pytest.mark.parametrize("backend", PARAMS)
def test_in_float32_it_rounds_otherwise(backend: str, tmp_path: Path) -> None:
    """What the plain one and its peer reference on one thread do not: a noise floor of copies measures nothing."""
    plain, reversed_widths = (
        answers(backend, variant, "float32", tmp_path) for variant in ("eager", "eager+reversed-widths")
    )
    forward = plain["forward"].arrays
    differ = [name for name, array in forward.items() if (reversed_widths["forward"].arrays[name] != array).any()]
    assert set(differ) >= {name for name in forward if "hidden" in name or "attention" in name or name == "logits"}


def test_parameters_come_as_the_checkpoint_has_them(tmp_path: Path) -> None:
    loader, directory = get_backend("reference-torch"), fixture("bart-odd")
    loader.setup(threads=1, device="cpu", cache=tmp_path)
    model = loader.load(
        directory, Variant.parse("eager+reversed-widths"), device="cpu", dtype="float32", model_class=CLASS
    )
    weights = read_weights(directory, BartConfig.read(directory))
    assert {name for name, array in model.parameters() if (array == weights[name]).all()} == set(weights)


def test_every_reference_has_a_reversed_widths_member_in_the_noise_floor() -> None:
    members = {
        member.backend for member in noise_floor_ensemble("cpu", "float32") if "reversed-widths" in member.variant
    }
    assert members == set(REFERENCES)


def test_weights_are_reversed_along_widths_and_nothing_else() -> None:
    directory = fixture("bart-odd")
    config = BartConfig.read(directory)
    weights, table = read_weights(directory, config), table_of(config)
    reversed_widths, axes = ReversedWeights(table, weights), reversed_axes(table)
    assert list(reversed_widths) == list(weights) and len(reversed_widths) == len(weights)
    shared, fc1 = weights["model.shared.weight"], weights["model.encoder.layers.0.fc1.weight"]
    np.testing.assert_array_equal(reversed_widths["model.shared.weight"], shared[:, ::-1])
    np.testing.assert_array_equal(reversed_widths["model.encoder.layers.0.fc1.weight"], fc1[::-1, ::-1])
    assert axes["final_logits_bias"] == ()
