"""A model computed a layer at a time gives, bit for bit, what the whole one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.backends.output_names import flatten
from parity.backends.registry import get_backend
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture
from parity.core.subject import Variant

torch = pytest.importorskip("torch")

LENGTHS = {"min_length": 0, "max_length": 9}


@pytest.fixture(scope="module", params=["bart-odd", "bert2gpt2", "wav2vec2-bert"])
def models(request, tmp_path_factory):
    """A checkpoint's cases by operation, the whole model and the one by layers."""
    checkpoint = inspect_checkpoint(fixture(request.param))
    cases = {}
    for case in standard_cases(checkpoint.model_spec, None, checkpoint.generation):
        cases.setdefault(case.operation, case)

    def loaded(**setup):
        backend = get_backend("reference-torch")
        backend.setup(threads=2, device="cpu", cache=tmp_path_factory.mktemp("cache"), **setup)
        settings = {"device": "cpu", "dtype": "float64", "model_class": checkpoint.model_class}
        return backend.load(Path(checkpoint.path), Variant.parse("eager"), **settings)

    return cases, loaded(), loaded(by_layer_above=0)


def inputs_of(case):
    return {name: case.array(name) for name in case.inputs}


def held(model):
    """Bytes of the weights of linear maps that are there in float64."""
    maps = [module for module in model._model.modules() if type(module) is torch.nn.Linear]
    return sum(module.weight.untyped_storage().size() for module in maps)


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in theirs)


def test_a_pass_forward(models):
    cases, whole, parted = models
    assert held(whole) and not held(parted)
    for operation in ("forward", "encode_decode"):
        method = "call" if operation == "forward" else "encode_then_decode"
        inputs = inputs_of(cases[operation])
        answers = [flatten(getattr(model, method)(inputs), model.to_numpy)[0] for model in (parted, whole)]
        assert_same(*answers)
    assert not held(parted)


def test_steps_and_text(models):
    cases, whole, parted = models
    steps = cases["decode_steps"]
    pairs = zip(*(m.decode_steps(inputs_of(steps), steps.settings["sizes"]) for m in (parted, whole)), strict=True)
    for ours, theirs in pairs:
        assert_same(flatten(ours.fields, parted.to_numpy)[0], flatten(theirs.fields, whole.to_numpy)[0])
        assert torch.is_grad_enabled()
    for arguments in ({"num_beams": 1, **LENGTHS}, {"num_beams": 3, **LENGTHS}):
        texts = [model.generate(inputs_of(cases["generate"]), arguments) for model in (parted, whole)]
        assert_same(*texts)
    assert not held(parted)


def test_gradients_and_what_softmax_subtracts_from(models):
    cases, whole, parted = models
    inputs = inputs_of(cases["gradients"])
    (loss, ours), (expected, theirs) = (model.gradients(inputs) for model in (parted, whole))
    assert np.array_equal(loss, expected)
    assert_same(ours, theirs)
    most = []
    _, reduced = parted.reduced_gradients(inputs, lambda gradient: (most.append(held(parted)), gradient.copy())[1])
    assert_same(reduced, theirs)
    assert max(most) < held(whole) / 3
    assert parted.softmax_cancellation(inputs) == whole.softmax_cancellation(inputs)
    assert not held(parted)


def test_parameters(models):
    _, whole, parted = models
    assert_same(dict(parted.parameters()), dict(whole.parameters()))
    assert not held(parted)
