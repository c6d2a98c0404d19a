"""What loading and calling the Flax reference promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from reference import in_flax, in_torch
from reference.errors import CheckpointError
from tests.conftest import ROOT
from tests.reference import bart_samples as samples
from tests.reference.test_torch_model import write_checkpoint


def test_a_directory_loads_bit_for_bit(tmp_path: Path) -> None:
    loaded = dict(in_flax.canonical_parameters(in_flax.load(write_checkpoint(tmp_path, "untied"))))
    assert set(loaded) == set(samples.weights("untied"))
    assert all((loaded[key] == array).all() for key, array in samples.weights("untied").items())


def test_a_missing_parameter_is_named_with_its_checkpoint(tmp_path: Path) -> None:
    name = "model.encoder.layers.1.fc1.weight"
    with pytest.raises(CheckpointError) as raised:
        in_flax.load(write_checkpoint(tmp_path, without=name))
    assert str(raised.value) == f"{tmp_path}: parameter {name} is missing"


def test_a_misshapen_parameter_is_named_with_both_shapes() -> None:
    """In canonical layout, though Flax keeps the transpose."""
    wrong = {**samples.weights("odd"), "model.encoder.layers.1.fc1.weight": np.zeros((15, 19))}
    with pytest.raises(CheckpointError, match=r"fc1\.weight is \(15, 19\), not \(19, 15\)"):
        in_flax.build(samples.config("odd"), wrong)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_both_references_hold_the_same_bits(dtype: str) -> None:
    theirs = dict(in_torch.canonical_parameters(samples.torch_model("odd", dtype)))
    for name, array in in_flax.canonical_parameters(samples.flax_model("odd", dtype)):
        assert array.dtype == theirs[name].dtype == dtype
        assert array.tobytes() == theirs[name].tobytes(), name


def test_float64_is_switched_on_only_when_asked_for() -> None:
    code = (
        "import jax; from tests.reference import bart_samples as s; from reference import in_flax;"
        "in_flax.build(s.config('relu'), s.weights('relu')); print(jax.config.jax_enable_x64);"
        "in_flax.build(s.config('relu'), s.weights('relu'), dtype='float64'); print(jax.config.jax_enable_x64)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_one_compilation_per_shape() -> None:
    """Other values and another model of the same sizes reuse it."""
    run = type(samples.flax_model("odd")).decode
    samples.call_flax(samples.flax_model("odd"), samples.inputs("odd"))
    compiled = run._cache_size()
    other = {**samples.inputs("odd"), "input_ids": samples.inputs("odd")["input_ids"][::-1]}
    doubled = {name: 2 * array for name, array in samples.weights("odd").items()}
    samples.call_flax(in_flax.build(samples.config("odd"), doubled, dtype="float64"), other)
    assert run._cache_size() == compiled


def test_a_row_with_nothing_to_see_leaves_the_other_rows_alone() -> None:
    given = {name: array.copy() for name, array in samples.inputs("odd").items()}
    before = samples.call_flax(samples.flax_model("odd"), given)
    given["attention_mask"][0] = given["decoder_attention_mask"][0] = 0
    after = samples.call_flax(samples.flax_model("odd"), given)
    assert np.isfinite(after["logits"]).all()
    assert (after["logits"][1] == before["logits"][1]).all()
    expected = samples.call_torch(samples.torch_model("odd"), given)
    samples.assert_same(after, expected, 1e-12)


def test_a_token_outside_the_vocabulary_gives_no_number() -> None:
    """Compiled code cannot raise; another row's vector in its place would be silently wrong."""
    table = samples.flax_model("odd").model.shared
    vectors = np.asarray(table(jax.numpy.asarray([[samples.VOCAB, 4]])))
    assert np.isnan(vectors[0, 0]).all()
    assert np.isfinite(vectors[0, 1]).all()


def test_the_fused_kernel_is_refused_in_float64() -> None:
    with pytest.raises(ValueError, match="softmax in float32"):
        samples.call_flax(samples.flax_model("odd", "float64", "sdpa"), samples.inputs("odd"))


def test_gradients_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        in_flax.loss_and_gradients(samples.flax_model("odd"), samples.bare("odd"))


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="14 tokens, but this checkpoint has positions for 13"):
        samples.call_flax(samples.flax_model("odd"), {"input_ids": np.full((2, 14), 5)})


def test_a_head_mask_for_other_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="for 4 layers, but there are 2"):
        samples.call_flax(samples.flax_model("odd"), {**samples.bare("odd"), "head_mask": np.ones((4, 3))})
