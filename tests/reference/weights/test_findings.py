"""What is wrong with weights that can be read: told by name, never raised."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fixtures.make import CHECKPOINTS
from reference.config import BartConfig
from reference.weights import BFLOAT16, cast, read_weights

ODD = CHECKPOINTS / "bart-odd"
ROOT = CHECKPOINTS.parent.parent
FC1 = "model.encoder.layers.1.fc1.weight"


@pytest.fixture
def config():
    return BartConfig.read(ODD)


@pytest.fixture
def read(tmp_path, config):
    """Saves tensors and reads them back."""

    def save_and_read(tensors):
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return read_weights(tmp_path, config)

    return save_and_read


@pytest.fixture
def tensors():
    return load_file(ODD / "model.safetensors")


def test_missing_surplus_and_misshapen_are_named(read, tensors):
    del tensors["model.decoder.layers.0.fc2.bias"]
    tensors["model.decoder.layers.9.fc2.bias"] = np.zeros(24, np.float32)
    tensors[FC1] = tensors[FC1].T.copy()
    weights = read(tensors)
    assert weights.missing == ["model.decoder.layers.0.fc2.bias"]
    assert weights.surplus == ["model.decoder.layers.9.fc2.bias"]
    assert weights.misshapen == {FC1: ((24, 20), (20, 24))}
    with pytest.raises(KeyError):
        weights["model.decoder.layers.0.fc2.bias"]


def test_a_head_without_its_bias_has_zeros(read, tensors):
    """No library looks for the buffer, and what saves trained parameters alone leaves it out."""
    del tensors["final_logits_bias"]
    weights = read(tensors)
    assert weights.missing == [] and not weights["final_logits_bias"].any()


def test_of_a_file_that_holds_nothing_else_no_bias_is_made(read, tensors):
    weights = read({f"module.{name}": tensor for name, tensor in tensors.items()})
    assert "final_logits_bias" in weights.missing and len(weights) == 0


def test_duplicates_must_equal_their_table(read, tensors):
    table = tensors["model.shared.weight"]
    tensors["model.encoder.embed_tokens.weight"] = table.copy()
    tensors["model.decoder.embed_tokens.weight"] = table.copy()
    tensors["model.decoder.embed_tokens.weight"].view(np.uint32)[3, 5] ^= 1
    tensors["lm_head.weight"] = table[:-1].copy()
    weights = read(tensors)
    assert sorted(weights.tied_differs) == ["lm_head.weight", "model.decoder.embed_tokens.weight"]
    assert weights.surplus == [] and weights["model.shared.weight"].tobytes() == table.tobytes()


def test_the_table_may_stand_under_a_tied_name_alone(read, tensors):
    table = tensors.pop("model.shared.weight")
    weights = read({**tensors, "model.decoder.embed_tokens.weight": table})
    assert weights.missing == [] and weights["model.shared.weight"].tobytes() == table.tobytes()
    assert weights.raw["model.shared.weight"] == "model.decoder.embed_tokens.weight"


def test_the_same_parameter_under_two_names_is_surplus(read, tensors):
    tensors["encoder.layers.1.fc1.weight"] = tensors[FC1] + 1
    weights = read(tensors)
    assert len(weights.surplus) == 1 and weights.raw[FC1] not in weights.surplus


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_nan_and_infinity_are_counted(read, tensors, dtype):
    tensors = {name: cast(array, dtype) for name, array in tensors.items()}
    tensors[FC1][0, 1], tensors[FC1][2, 3] = np.nan, -np.inf
    weights = read(tensors)
    assert weights.not_finite == {FC1: 2}
    assert weights.dtypes[FC1] == dtype


def test_the_first_format_is_read_unless_another_is_chosen(tmp_path, config, tensors):
    torch = pytest.importorskip("torch", reason="writes pytorch_model.bin")
    tensors[FC1] += 1
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").write_bytes((ODD / "model.safetensors").read_bytes())
    first, chosen = read_weights(tmp_path, config), read_weights(tmp_path, config, format="bin")
    assert (first.format, chosen.format) == ("safetensors", "bin")
    np.testing.assert_array_equal(chosen[FC1], first[FC1] + 1)
    with pytest.raises(ValueError, match="unknown format 'pickle'"):
        read_weights(tmp_path, config, format="pickle")


def run(program):
    """In a process of its own, where no signature is enforced: beartype would look at the first array."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_opening_reads_no_tensor(tmp_path):
    """A model of base size must not be held in memory to know what is in it."""
    sizes = {"model_type": "bart", "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 9000}
    save_file({"model.shared.weight": np.zeros((9000, 1024), np.float32)}, tmp_path / "model.safetensors")
    held, read = run(f"""
import json, tracemalloc
from reference.config import BartConfig
from reference.weights import read_weights
config = BartConfig.from_dict({sizes!r})
tracemalloc.start()
weights = read_weights({str(tmp_path)!r}, config)
print(json.dumps([tracemalloc.get_traced_memory()[1], weights["model.shared.weight"].nbytes]))
""")
    assert held < 1 << 20 and read == 36_864_000


ROUNDED = [0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.0e38, 3.4e38, 1e-40, 65504.0, 65519.0, 65520.0, 6e-8, 2.9e-8]


@pytest.mark.parametrize("source", ["float64", "float32"])
@pytest.mark.parametrize("target", ["float64", "float32", "float16", "bfloat16"])
def test_cast_rounds_as_torch_does(source, target):
    torch = pytest.importorskip("torch", reason="torch is what cast is compared with")
    random = np.random.default_rng(7).integers(0, 1 << 32, 50_000, np.uint32).view(np.float32)
    random = random[~np.isnan(random)].astype(np.float64)
    values = np.concatenate([np.array(ROUNDED), random, 1 + np.arange(4096) * 2.0**-20])
    if source == "float64":
        values = np.concatenate([values, 1 + 2.0**-8 + np.array([-1, 1]) * 2.0**-40])
    values = values.astype(source)
    theirs = torch.from_numpy(values).to(getattr(torch, target))
    bits = {"float64": "uint64", "float32": "uint32", "float16": "uint16", "bfloat16": "uint16"}[target]
    same_size = {"uint64": torch.int64, "uint32": torch.int32, "uint16": torch.int16}[bits]
    np.testing.assert_array_equal(cast(values, target).view(bits), theirs.view(same_size).numpy().view(bits))


def test_cast_keeps_nan_and_widens_exactly():
    narrow = cast(np.array([[1.5, np.nan, -np.inf]], np.float32), "bfloat16")
    assert narrow.dtype == BFLOAT16 and narrow.shape == (1, 3)
    np.testing.assert_array_equal(cast(narrow, "float64"), [[1.5, np.nan, -np.inf]])
    with pytest.raises(ValueError, match="cannot cast to 'int8'"):
        cast(narrow, "int8")


def test_reads_without_any_framework_and_without_ml_dtypes():
    """bfloat16 then comes as uint16 of the same bits."""
    kind, bits, heavy = run(f"""
import json, sys
sys.modules["ml_dtypes"] = None
from reference.config import BartConfig
from reference.weights import BFLOAT16, cast, read_weights
weights = read_weights({str(ODD)!r}, BartConfig.read({str(ODD)!r}))
narrow = cast(weights[{FC1!r}], "bfloat16")
heavy = [name for name in ("torch", "tensorflow", "jax", "transformers", "h5py", "msgpack") if name in sys.modules]
print(json.dumps([str(BFLOAT16), narrow.ravel().tolist(), heavy]))
""")
    weights = read_weights(ODD, BartConfig.read(ODD))
    assert (kind, heavy) == ("uint16", [])
    assert bits == cast(weights[FC1], "bfloat16").view(np.uint16).ravel().tolist()
