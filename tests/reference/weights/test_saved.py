"""Files as the libraries really write them, read back bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.make import CHECKPOINTS, FIXTURES
from parity.core.model_spec import model_spec_of
from parity.tools.tiny import make_weights
from reference.config import BartConfig
from reference.weights import cast, read_weights

pytestmark = pytest.mark.full

BARTS = [fixture for fixture in FIXTURES if fixture.config["architectures"] == ["BartForConditionalGeneration"]]
SAVER = Path(__file__).with_name("save_checkpoints.py")
TORCH = ("safetensors", "safetensors-shards", "bin", "bin-shards", "legacy", "parameters", "strided")
TORCH += ("one-storage", "one-storage-legacy")
OTHERS = ("h5", "h5-shards", "tf-safetensors", "msgpack", "msgpack-shards")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Every BART with its head in every format: written once, by a process of its own."""
    pytest.importorskip("transformers", reason="the files are written by the installed library")
    target = tmp_path_factory.mktemp("saved")
    # A backend that another test set up in this process has switched frameworks off.
    own = {name: value for name, value in os.environ.items() if not name.startswith("USE_")}
    environment = {**own, "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    sources = [CHECKPOINTS / fixture.name for fixture in BARTS]
    done = subprocess.run([sys.executable, SAVER, target, *sources], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return target


@pytest.fixture(params=BARTS, ids=lambda fixture: fixture.name)
def saved(request, directory):
    """A fixture's weights as they were made, and the directory with every format of it."""
    config = BartConfig.from_dict(request.param.config)
    expected = make_weights(model_spec_of(request.param.config), request.param.seed, request.param.eos_bias)
    return config, expected, directory / request.param.name


def assert_equal(weights, expected):
    assert list(weights) == list(expected)
    for name, array in expected.items():
        assert weights[name].dtype == array.dtype and weights[name].shape == array.shape, name
        assert weights[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("place", TORCH)
def test_pytorch_files(saved, place):
    config, expected, target = saved
    weights = read_weights(target / place, config)
    assert_equal(weights, expected)
    assert (weights.missing, weights.surplus, weights.misshapen, weights.tied_differs) == ([], [], {}, [])
    assert set(weights.dtypes.values()) == {"float32"} and weights.not_finite == {}


@pytest.mark.parametrize("place", OTHERS)
def test_tensorflow_and_flax_files(saved, place):
    config, expected, target = saved
    if not (target / place).exists():
        pytest.skip("this library has no TF and Flax classes")
    weights = read_weights(target / place, config)
    # TF's BART has no output head of its own, so a file it saves of an untied model lacks that.
    lost = [] if config.tie_word_embeddings or "msgpack" in place else ["lm_head.weight"]
    assert weights.missing == lost
    assert_equal(weights, {name: array for name, array in expected.items() if name not in lost})
    assert (weights.surplus, weights.misshapen, weights.tied_differs) == ([], {}, [])


@pytest.mark.parametrize("place", ["bare-safetensors", "bare-bin"])
def test_a_bare_model_has_no_head_and_a_zero_bias(saved, place):
    config, expected, target = saved
    weights = read_weights(target / place, config)
    lost = [] if config.tie_word_embeddings else ["lm_head.weight"]
    zero = {"final_logits_bias": np.zeros((1, config.vocab_size), np.float32)}
    assert weights.missing == lost and weights.surplus == []
    assert_equal(weights, {name: array for name, array in (expected | zero).items() if name not in lost})


@pytest.mark.parametrize("place", ["bin", "safetensors"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_files_are_what_cast_gives(saved, dtype, place):
    """Also the proof that ``cast`` rounds as torch does."""
    config, expected, target = saved
    weights = read_weights(target / f"{dtype}-{place}", config)
    assert set(weights.dtypes.values()) == {dtype}
    assert_equal(weights, {name: cast(array, dtype) for name, array in expected.items()})
    assert weights.tied_differs == [] and weights.not_finite == {}
