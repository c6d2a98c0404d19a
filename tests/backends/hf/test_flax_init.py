"""A Flax class is loaded as by a plain call, without drawing what its file replaces."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

transformers = pytest.importorskip("transformers")
flax = pytest.importorskip("flax")
jax = pytest.importorskip("jax")

from safetensors.numpy import load_file, save_file  # noqa: E402

from parity.backends.hf.flax_init import load_pretrained  # noqa: E402
from parity.core.resources import fixture  # noqa: E402

LACKING = "model.decoder.layers.0.fc1.bias"


def leaves(params) -> dict[str, np.ndarray]:
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    return {name: np.asarray(leaf) for name, leaf in flat.items()}


@pytest.fixture
def kind():
    if not hasattr(transformers, "FlaxBartForConditionalGeneration"):
        pytest.skip(f"transformers {transformers.__version__} has no Flax classes")
    return transformers.FlaxBartForConditionalGeneration


@pytest.fixture
def draws(kind, monkeypatch):
    """Counts how often the library draws parameters."""
    drawn, count = kind.module_class.init, []
    monkeypatch.setattr(
        kind.module_class, "init", lambda self, *a, **k: count.append(_traced(a)) or drawn(self, *a, **k)
    )
    return count


def _traced(arguments) -> bool:
    return any("Tracer" in type(leaf).__name__ for each in arguments for leaf in jax.tree.leaves(each))


def test_a_whole_file_is_loaded_without_a_draw(kind, draws):
    model, notes = load_pretrained(kind, fixture("bart-odd"), from_pt=True, local_files_only=True)
    assert draws == [True]  # its shapes alone
    plain = kind.from_pretrained(fixture("bart-odd"), from_pt=True, local_files_only=True)
    assert draws == [True, False]
    found, expected = leaves(model.params), leaves(plain.params)
    assert found.keys() == expected.keys() and len(found) > 40
    assert all(np.array_equal(found[name], expected[name]) for name in found)
    assert not any("newly initialized" in note for note in notes)


def test_what_no_file_holds_is_drawn_as_by_a_plain_call(kind, draws, tmp_path):
    shutil.copytree(fixture("bart-odd"), tmp_path / "lacking")
    weights = load_file(tmp_path / "lacking" / "model.safetensors")
    del weights[LACKING]
    save_file(weights, tmp_path / "lacking" / "model.safetensors", metadata={"format": "pt"})
    model, notes = load_pretrained(kind, tmp_path / "lacking", from_pt=True, local_files_only=True)
    assert draws == [True, False]
    plain = kind.from_pretrained(tmp_path / "lacking", from_pt=True, local_files_only=True)
    found, expected = leaves(model.params), leaves(plain.params)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert any("newly initialized" in note for note in notes)


def test_an_exception_is_that_of_a_plain_call_and_nothing_stays_exchanged(kind, tmp_path):
    own = kind.init_weights
    with pytest.raises(OSError) as plain:
        kind.from_pretrained(tmp_path, local_files_only=True)
    with pytest.raises(OSError) as found:
        load_pretrained(kind, tmp_path, local_files_only=True)
    assert str(found.value) == str(plain.value)
    assert kind.init_weights is own
