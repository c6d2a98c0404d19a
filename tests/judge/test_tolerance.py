"""The measuring tape itself: what counts as an error, where it is found, and what a tolerance is made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.core.model_spec import model_spec_of
from parity.core.tensors import TensorSpec, gradient_tensors, score_tensors
from parity.judge.tolerance import (
    BLOCK,
    UNIT_ROUNDOFF,
    NoiseFloor,
    calibration,
    measure,
    root_mean_square,
    scale_of,
    signal,
)

RNG = np.random.default_rng(0)
HIDDEN = TensorSpec("encoder.hidden.0", "hidden", ("batch", "src", "d_model"))


def test_equal_tensors_have_no_error():
    array = RNG.normal(size=(2, 7, 15))
    measured = measure(array, array)
    assert (measured.slice, measured.element) == (0.0, 0.0)


def test_one_wrong_row_is_not_averaged_away():
    expected = RNG.normal(size=(4, 64, 50))
    actual = expected.copy()
    actual[2, 5] += 0.01
    measured = measure(actual, expected)
    assert measured.slice_at == (2, 5)
    assert measured.slice == pytest.approx(0.01 / root_mean_square(expected))
    whole = np.sqrt(np.mean((actual - expected) ** 2)) / root_mean_square(expected)
    assert measured.slice > 15 * whole


def test_one_wrong_element_is_named_with_both_values():
    expected = RNG.normal(size=(3, 11, 17))
    actual = expected.copy()
    actual[1, 4, 16] = 9.0
    measured = measure(actual, expected)
    assert measured.element_at == (1, 4, 16)
    assert (measured.actual, measured.expected) == (9.0, expected[1, 4, 16])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_infinite_error_on_either_side(value):
    expected = RNG.normal(size=(2, 5))
    broken = expected.copy()
    broken[1, 2] = value
    assert measure(broken, expected).element == np.inf
    assert measure(expected, broken, scale=1.0).element == np.inf


def test_nan_agrees_only_with_nan_in_the_same_place():
    undefined = np.array([np.nan, 1.0])
    assert measure(undefined, undefined, scale=1.0).element == 0.0
    assert measure(np.array([1.0, np.nan]), undefined, scale=1.0).element == np.inf


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((0,), (0,)), ((1,), ())])
def test_what_cannot_be_compared_is_refused(shapes):
    with pytest.raises(ValueError, match="cannot compare"):
        measure(*(np.zeros(shape) for shape in shapes))


@given(st.integers(0, 3), st.lists(st.integers(1, 5), min_size=0, max_size=4))
def test_the_worst_place_is_found_in_any_shape(seed, shape):
    rng = np.random.default_rng(seed)
    expected = rng.normal(size=tuple(shape))
    actual = expected.copy()
    place = tuple(int(rng.integers(length)) for length in shape)
    actual[place] += 100.0
    measured = measure(actual, expected)
    assert measured.element_at == place
    assert measured.slice_at == (place[:-1] if len(shape) > 1 else ())


def test_blocks_do_not_change_the_answer(monkeypatch):
    expected = RNG.normal(size=(5, 9, 7))
    actual = expected + RNG.normal(size=expected.shape) * 1e-6
    at_once = measure(actual, expected)
    monkeypatch.setattr("parity.judge.tolerance.BLOCK", 16)
    assert BLOCK > 16
    in_blocks = measure(actual, expected)
    assert (in_blocks.slice_at, in_blocks.element_at) == (at_once.slice_at, at_once.element_at)
    assert in_blocks.slice == pytest.approx(at_once.slice)


def test_a_tensor_of_zeros_is_measured_absolutely():
    assert measure(np.full(4, 0.5), np.zeros(4)).element == 0.5


def test_the_signal_of_a_shuffled_tensor_is_as_large_as_the_tensor():
    array = RNG.normal(size=(3, 11, 14))
    assert 1.0 < signal(array, root_mean_square(array)) < 2.0


def test_a_reference_is_never_its_own_noise_floor():
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    expected = RNG.normal(size=(2, 7, 15))
    noise_floor.add("reference-torch", HIDDEN, measure(expected + 1.0, expected))
    noise_floor.add("reference-flax", HIDDEN, measure(expected + 1e-6, expected))
    own, other = (noise_floor.error("encoder.hidden.0", name) for name in ("reference-torch", "reference-flax"))
    assert own.slice < 1e-5 < 0.1 < other.slice
    assert noise_floor.error("encoder.hidden.0", "hf-torch").slice == other.slice


def test_without_another_witness_there_is_no_tolerance():
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    noise_floor.add("reference-torch", HIDDEN, measure(np.ones((2, 3)), np.ones((2, 3))))
    assert noise_floor.tolerance("encoder.hidden.0", "reference-torch") is None
    assert noise_floor.tolerance("logits", "hf-torch") is None


def test_an_exact_noise_floor_leaves_the_floor():
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    for reference in ("reference-torch", "reference-flax"):
        noise_floor.add(reference, HIDDEN, measure(np.ones((2, 3, 40)), np.ones((2, 3, 40))))
    factors = calibration("ensemble")
    expected = factors.k_slice * factors.c_slice * UNIT_ROUNDOFF["float32"]
    assert noise_floor.tolerance("encoder.hidden.0", "hf-torch").slice == pytest.approx(expected)


@pytest.mark.parametrize("alone", ["reference-torch", "reference-flax"])
def test_whoever_one_reference_alone_measures_gets_the_factors_for_one(alone):
    """Without JAX there is one: it reaches less far than two, so that its errors are multiplied by more."""
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    noise_floor.add(alone, HIDDEN, measure(np.ones((2, 3, 40)), np.ones((2, 3, 40))))
    one, two = calibration("peer"), calibration("ensemble")
    expected = one.k_slice * one.c_slice * UNIT_ROUNDOFF["float32"]
    assert one.k_slice > two.k_slice
    assert noise_floor.tolerance("encoder.hidden.0", "hf-torch").slice == pytest.approx(expected)


def test_a_loss_borrows_the_noise_floor_of_its_logits():
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    logits = TensorSpec("logits", "logits", ("batch", "tgt", "vocab"))
    loss = TensorSpec("loss", "loss", (), ("logits",), "logits")
    expected = RNG.normal(size=(3, 7, 97))
    noise_floor.add("reference-flax", logits, measure(expected + 3e-6, expected))
    noise_floor.add("reference-flax", loss, measure(np.array(2.0), np.array(2.0)))
    assert noise_floor.error("loss", "hf-torch").slice > 1e-6


def test_a_loss_is_measured_at_its_own_size_where_that_is_more():
    spec, logits = TensorSpec("loss", "loss", (), ("logits",), "logits"), RNG.normal(size=(3, 7, 97))
    sizes = [scale_of(spec, {"loss": np.array(loss), "logits": logits}) for loss in (5.0, 0.1)]
    assert sizes == pytest.approx([5.0, root_mean_square(logits)])


def test_a_short_text_borrows_the_noise_floor_of_a_sample_of_the_vocabulary():
    """One token of a text may be exact by chance where others are not: it may be off by what the worst of many is."""
    tokens, sampled, whole = score_tensors()
    truth, found = np.zeros((2, 9)), RNG.normal(size=(2, 9, 64))
    truth[:, 0] = -1.5
    off = found.copy()
    off[1, 4, 7] += 3e-6
    noise_floor, scale = NoiseFloor(UNIT_ROUNDOFF["float32"]), root_mean_square(found)
    for spec, actual, expected in ((tokens, truth, truth), (sampled, off, found), (whole, truth[:, 0], truth[:, 0])):
        noise_floor.add("reference-flax", spec, measure(actual, expected, scale))
    for name in (tokens.name, whole.name):
        error = noise_floor.error(name, "reference-torch")
        assert error.slice == error.element == pytest.approx(3e-6 / scale)


def test_a_text_s_score_is_measured_at_its_own_size_where_that_is_more():
    spec, sampled = score_tensors()[2], RNG.normal(size=(2, 9, 64))
    sizes = [scale_of(spec, {spec.name: np.full(2, s), "sampled_scores": sampled}) for s in (30.0, 0.1)]
    assert sizes == pytest.approx([30.0, root_mean_square(sampled)])


def test_a_gradient_that_theory_says_is_zero_is_measured_at_the_size_of_another():
    spec = TensorSpec("gradient.k_proj.bias", "gradient", ("rows",), (), "gradient.k_proj.weight")
    weight = RNG.normal(size=(5, 7)) * 1e-3
    scale = scale_of(spec, {spec.name: np.zeros(5), "gradient.k_proj.weight": weight})
    assert scale == pytest.approx(root_mean_square(weight))


def test_each_precision_has_factors_of_its_own():
    ratio = {}
    for dtype in ("float64", "float32", "bfloat16", "float16", "tf32"):
        unit = UNIT_ROUNDOFF[dtype]
        noise_floor = NoiseFloor(unit)
        for reference in ("reference-torch", "reference-flax"):
            noise_floor.add(reference, HIDDEN, measure(np.ones((2, 3, 40)), np.ones((2, 3, 40))))
        ratio[dtype] = noise_floor.tolerance("encoder.hidden.0", "hf-torch").slice / unit
    assert ratio["float64"] == pytest.approx(calibration("ensemble", precision="float64").k_slice)
    assert ratio["float32"] == pytest.approx(calibration("ensemble").k_slice)
    coarse = calibration("ensemble", precision="coarse").k_slice
    assert [ratio[dtype] for dtype in ("bfloat16", "float16", "tf32")] == pytest.approx([coarse] * 3)


def test_gradients_have_factors_of_their_own():
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    spec = TensorSpec("gradient.lm_head.weight", "gradient", ("rows", "columns"))
    for reference in ("reference-torch", "reference-flax"):
        noise_floor.add(reference, spec, measure(np.ones((20, 40)), np.ones((20, 40))))
    factors = calibration("ensemble", "gradient")
    tolerance = noise_floor.tolerance(spec.name, "hf-torch")
    assert tolerance.slice == pytest.approx(factors.k_slice * factors.c_slice * UNIT_ROUNDOFF["float32"])


def test_no_gradient_is_compared_behind_a_kink():
    names = [f"model.decoder.layers.{layer}.{part}.weight" for layer in (0, 1) for part in ("fc1", "fc2")]
    names += ["model.decoder.layers.1.final_layer_norm.bias", "model.shared.weight", "lm_head.weight"]
    config = {"model_type": "bart", "encoder_layers": 1, "decoder_layers": 2, "tie_word_embeddings": False}
    assert len(gradient_tensors(model_spec_of(config), names)) == len(names)
    left = [spec.name for spec in gradient_tensors(model_spec_of({**config, "activation_function": "relu"}), names)]
    assert left == [
        "gradient.lm_head.weight",
        "gradient.model.decoder.layers.1.final_layer_norm.bias",
        "gradient.model.decoder.layers.1.fc2.weight",
    ]


def test_no_sum_is_held_closer_than_a_rounding_of_its_terms():
    """The only member errs nothing; the terms are a thousand times what is measured by, or less than it."""
    spec, unit = TensorSpec("gradient.q_proj.weight", "gradient", ("rows", "columns")), UNIT_ROUNDOFF["float32"]
    minuend = RNG.normal(size=(20, 40))

    def tolerance(terms, error=0.0):
        noise_floor = NoiseFloor(unit)
        noise_floor.add("reference-flax", spec, measure(minuend + error, minuend, 1.0), terms)
        return noise_floor.tolerance(spec.name, "reference-torch")

    assert tolerance(1e3).slice == pytest.approx(1e3 * tolerance(0.0).slice)
    assert tolerance(1e3).element == pytest.approx(1e3 * tolerance(0.0).element)
    assert tolerance(0.5) == tolerance(0.0)
    assert tolerance(1e3, error=1.0) == tolerance(0.0, error=1.0)


def test_an_error_is_relative_to_what_was_subtracted_from():
    """What is left may be nothing at all; a scale of one, which zeros have, would then hide every error."""
    spec = TensorSpec("gradient.q_proj.weight", "gradient", ("rows", "columns"))
    left, minuends = RNG.normal(size=(5, 7)) * 1e-6, {spec.name: 1e-3}
    assert scale_of(spec, {spec.name: left}, minuends) == 1e-3
    assert scale_of(spec, {spec.name: np.zeros((5, 7))}, minuends) == 1e-3
    assert scale_of(spec, {spec.name: left}, {spec.name: 1e-9}) == root_mean_square(left)
    assert scale_of(spec, {spec.name: np.zeros((5, 7))}) == 1.0
