"""Both references compute what transformers 4.57.6 computes in float64, and each other's answer in every dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import in_flax, in_torch
from tests.reference import bart_samples as samples

NAMES = list(samples.CONFIGS)
DOUBLE, SINGLE = 1e-12, 3e-5
GRADIENT = 1e-10
"""In float64: some gradients are what is left of much larger terms (1e-7 of the largest in ``odd``)."""


def library_gradients(name: str, given: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    model = samples.library_model(name)
    model.zero_grad()
    loss = samples.call_library(name, given).loss
    loss.backward()
    return loss.item(), {key: value.grad.numpy() for key, value in model.named_parameters()}


def assert_gradients(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Names and values; a key bias has no gradient in theory, so it is measured by its weight's."""
    assert set(actual) == set(expected)
    for name, gradient in expected.items():
        scale = np.abs(expected[name.replace(".bias", ".weight")]).max() if name.endswith("k_proj.bias") else 0.0
        samples.assert_close(actual[name], gradient, tolerance, name, scale)


@pytest.mark.parametrize("name", NAMES)
def test_torch_computes_what_the_library_does(name: str) -> None:
    """Loss, logits, states and attentions, with every mask there is."""
    expected = samples.as_arrays(samples.call_library(name, samples.inputs(name)))
    samples.assert_same(samples.call_torch(samples.torch_model(name), samples.inputs(name)), expected, DOUBLE)


@pytest.mark.parametrize("name", NAMES)
def test_flax_computes_what_the_library_does(name: str) -> None:
    expected = samples.as_arrays(samples.call_library(name, samples.inputs(name)))
    samples.assert_same(samples.call_flax(samples.flax_model(name), samples.inputs(name)), expected, DOUBLE)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_the_library_s(name: str) -> None:
    """``input_ids`` alone: decoder inputs are those shifted, nothing is masked, there is no loss."""
    expected = samples.as_arrays(samples.call_library(name, samples.bare(name)))
    assert expected["loss"] is None
    samples.assert_same(samples.call_torch(samples.torch_model(name), samples.bare(name)), expected, DOUBLE)


def test_flax_defaults_are_the_library_s() -> None:
    expected = samples.as_arrays(samples.call_library("odd", samples.bare("odd")))
    samples.assert_same(samples.call_flax(samples.flax_model("odd"), samples.bare("odd")), expected, DOUBLE)


@pytest.mark.parametrize("name", NAMES)
def test_torch_gradients_are_the_library_s(name: str) -> None:
    loss, expected = library_gradients(name, dict(samples.inputs(name)))
    own_loss, gradients = in_torch.loss_and_gradients(samples.torch_model(name), samples.inputs(name))
    assert own_loss == pytest.approx(loss, rel=DOUBLE)
    # The library drops part of the padding row's: see test_a_seen_padding_token_has_a_gradient_that_the_library_drops.
    pad = samples.config(name).pad_token_id
    for table in (gradients["model.shared.weight"], expected["model.shared.weight"]):
        table[pad] = 0
    assert_gradients(gradients, expected, GRADIENT)


def test_flax_gradients_are_torch_s() -> None:
    loss, expected = in_torch.loss_and_gradients(samples.torch_model("untied"), samples.inputs("untied"))
    own_loss, gradients = in_flax.loss_and_gradients(samples.flax_model("untied"), samples.inputs("untied"))
    assert own_loss == pytest.approx(loss, rel=DOUBLE)
    assert_gradients(gradients, expected, GRADIENT)


def test_a_seen_padding_token_has_a_gradient_that_the_library_drops() -> None:
    """transformers gives its tables a ``padding_idx`` (modeling_bart.py: BartModel.__init__): the row gets none of the
    gradient of its look-ups. Ours is the derivative; everything but that row is equal."""
    given = {name: array for name, array in samples.inputs("odd").items() if name in ("input_ids", "labels")}
    pad = samples.config("odd").pad_token_id
    given["input_ids"] = np.where(np.arange(samples.SRC) > 4, pad, given["input_ids"])
    _, expected = library_gradients("odd", given)
    _, gradients = in_torch.loss_and_gradients(samples.torch_model("odd"), given)
    ours, theirs = gradients["model.shared.weight"], expected["model.shared.weight"]
    others = np.arange(samples.VOCAB) != pad
    samples.assert_close(ours[others], theirs[others], GRADIENT, "every other row")
    assert np.abs(ours[pad] - theirs[pad]).max() > 1e-3
    assert ours[pad, 4] == pytest.approx(slope_of_loss(given, pad, 4), rel=1e-6)


def slope_of_loss(given: dict[str, np.ndarray], row: int, column: int, step: float = 1e-5) -> float:
    """The loss's derivative by one number of the shared table, by central difference."""
    losses = []
    for sign in (1, -1):
        moved = dict(samples.weights("odd"))
        moved["model.shared.weight"] = moved["model.shared.weight"].copy()
        moved["model.shared.weight"][row, column] += sign * step
        model = in_torch.build(samples.config("odd"), moved, dtype="float64")
        losses.append(samples.call_torch(model, given)["loss"])
    return float(losses[0] - losses[1]) / (2 * step)


@pytest.mark.parametrize("name", ["odd", "untied"])
def test_flax_and_torch_agree_in_float32(name: str) -> None:
    expected = samples.call_torch(samples.torch_model(name, "float32"), samples.inputs(name))
    actual = samples.call_flax(samples.flax_model(name, "float32"), samples.inputs(name))
    samples.assert_same(actual, expected, SINGLE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("call", ["torch", "flax"])
def test_half_precision_is_near_the_oracle(call: str, dtype: str) -> None:
    """A few roundings of 2⁻⁸ or 2⁻¹¹ per layer away, and every output in the dtype asked for."""
    expected = samples.call_torch(samples.torch_model("odd"), samples.inputs("odd"))
    model, run = _model_and_call(call, dtype)
    actual = run(model, samples.inputs("odd"))
    samples.assert_close(actual["logits"], expected["logits"], {"bfloat16": 0.05, "float16": 0.005}[dtype], "logits")
    package = in_torch if call == "torch" else in_flax
    output = model(**package.as_inputs(model, samples.inputs("odd")))
    tensors = [output.loss, output.logits, *output.decoder_hidden_states, *output.encoder_attentions]
    assert {str(tensor.dtype).removeprefix("torch.") for tensor in tensors} == {dtype}


def _model_and_call(call: str, dtype: str, attention: str = "eager") -> tuple[Any, Any]:
    if call == "torch":
        return samples.torch_model("odd", dtype, attention), samples.call_torch
    return samples.flax_model("odd", dtype, attention), samples.call_flax


@pytest.mark.parametrize(("call", "dtype", "tolerance"), [("torch", "float64", DOUBLE), ("flax", "float32", SINGLE)])
def test_the_fused_kernel_gives_the_same_and_no_attentions(call: str, dtype: str, tolerance: float) -> None:
    """Head masks included; a row with nothing to attend to as well."""
    given = dict(samples.inputs("odd"))
    given["attention_mask"] = given["attention_mask"].copy()
    given["attention_mask"][0] = 0
    expected = samples.call_torch(samples.torch_model("odd", dtype), given)
    model, run = _model_and_call(call, dtype, "sdpa")
    actual = run(model, given)
    attentions = ("encoder_attentions", "decoder_attentions", "cross_attentions")
    assert [actual[field] for field in attentions] == [None, None, None]
    samples.assert_same(actual, {**expected, **dict.fromkeys(attentions)}, tolerance)
