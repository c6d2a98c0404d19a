"""The pseudo-backend ``file``: the files' own values, and what they lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.backends.registry import get_backend
from parity.core.subject import Variant
from reference.config import BartConfig
from reference.names import expected_parameters
from reference.weights import cast
from tests.backends.samples import CHECKPOINT, LACKED, SURPLUS, faulty, given


def load(checkpoint: Path, dtype: str = "float32"):
    backend = get_backend("file")
    backend.setup(threads=1, device="cpu", cache=checkpoint)
    return backend.load(checkpoint, Variant(), device="cpu", dtype=dtype, model_class="BartForConditionalGeneration")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_values_are_the_files_cast(dtype: str) -> None:
    model, raw = load(CHECKPOINT, dtype), load_file(CHECKPOINT / "model.safetensors")
    found = dict(model.parameters())
    assert list(found) == list(expected_parameters(BartConfig.read(CHECKPOINT)))
    for name, array in found.items():
        assert array.dtype.name == dtype
        assert array.tobytes() == cast(raw[name], dtype).tobytes(), name
    assert (model.report.missing, model.report.unexpected, model.report.notes) == ([], [], [])
    assert model.report.route == "safetensors"


def test_what_is_missing_or_surplus_is_told_not_raised(tmp_path: Path) -> None:
    model = load(faulty(tmp_path / "faulty"))
    assert model.report.missing == [LACKED] and model.report.unexpected == [SURPLUS]
    assert LACKED not in dict(model.parameters())


def test_a_misshapen_parameter_is_noted(tmp_path: Path) -> None:
    folder = faulty(tmp_path / "faulty")
    weights = load_file(folder / "model.safetensors")
    weights["model.encoder.layers.0.fc1.bias"] = np.zeros(3, np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert any("model.encoder.layers.0.fc1.bias has shape [3]" in note for note in load(folder).report.notes)


def test_it_computes_nothing() -> None:
    model = load(CHECKPOINT)
    for question in (model.call, model.encode_then_decode, model.gradients):
        with pytest.raises(NotImplementedError, match="computes nothing"):
            question(given())
