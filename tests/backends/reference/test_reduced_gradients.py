"""Gradients of which only something is kept are those of the whole pass, whatever the family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.backends.registry import get_backend
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture
from parity.core.subject import Variant

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["bart-odd", "bert2gpt2"])
@pytest.mark.parametrize("backend", ["reference-torch", "hf-torch"])
def test_each_is_that_of_the_whole_pass(name, backend, tmp_path) -> None:
    checkpoint = inspect_checkpoint(fixture(name))
    case = next(c for c in standard_cases(checkpoint.model_spec, None, checkpoint.generation) if c.name == "gradients")
    inputs = {name: case.array(name) for name in case.inputs}
    adapter = get_backend(backend)
    adapter.setup(threads=1, device="cpu", cache=Path(tmp_path))
    settings = {"device": "cpu", "dtype": "float64", "model_class": checkpoint.model_class}
    model = adapter.load(checkpoint.path, Variant.parse("eager"), **settings)
    loss, whole = model.gradients(inputs)
    reduced_loss, reduced = model.reduced_gradients(inputs, lambda gradient: gradient.copy())
    assert np.array_equal(model.to_numpy(loss)[0], model.to_numpy(reduced_loss)[0])
    assert list(reduced) == list(whole)
    assert all(np.array_equal(reduced[name], gradient) for name, gradient in whole.items())
    assert all(parameter.grad is None for parameter in model._model.parameters())
