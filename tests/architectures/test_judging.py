"""The judging of random models can fail: a model altered in one place is found, in numbers and in text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.architectures import library, reversed_widths, texts
from tests.architectures.agreement import compared
from tests.architectures.example import Example, example


def altered(asked: Example, part: str, factor: float) -> Example:
    """The same model, but the reference is given one weight that is not quite the library's."""
    name = next(name for name in asked.weights if part in name)
    weights = {**asked.weights, name: asked.weights[name].copy()}
    weights[name].flat[0] *= factor
    return dataclasses.replace(asked, weights=weights)


def failures(asked: Example) -> set[str]:
    """What was judged and found wrong: ``library float64`` …"""
    return {what for what, each in compared(asked, "torch") if each.failed}


@pytest.mark.parametrize(
    ("family", "part"),
    [("bart-bare", "fc2.weight"), ("gpt2-causal", "c_attn.weight"), ("wav2vec2bert", "conv_layers.0.conv.weight")],
)
def test_one_weight_that_is_a_little_off_is_found_in_float64(family: str, part: str) -> None:
    asked = example(family, 1, 0)
    assert not failures(asked)
    assert "library float64" in failures(altered(asked, part, 1 + 1e-9))


def test_in_float32_it_takes_a_larger_fault() -> None:
    asked = example("bart", 1, 0)
    assert "library float32" not in failures(altered(asked, "fc2.weight", 1 + 1e-9))
    assert "library float32" in failures(altered(asked, "fc2.weight", 1 + 1e-2))


def test_a_loss_that_the_library_takes_in_float32_is_held_to_that_and_no_less() -> None:
    asked = example("bert-causal", 1, 0)
    assert not [each for what, each in compared(asked, "torch") if each.failed]
    off = altered(asked, "predictions.bias", 1 + 1e-3)
    assert "loss" in {each.what for what, each in compared(off, "torch") if each.failed and what == "library float64"}


def test_a_member_that_computes_something_else_makes_tolerances_that_could_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reversed_widths, "WIDTHS", tuple(word for word in reversed_widths.WIDTHS if word != "d_model"))
    found = [each for _, each in compared(example("bart-bare", 1, 0), "torch") if each.failed]
    assert any("could not have failed" in each.note for each in found)


@pytest.mark.parametrize("family", ["gpt2-causal", "wav2vec2bert", "bart"])
def test_mirroring_moves_weights_and_twice_brings_them_back(family: str) -> None:
    asked = example(family, 1, 0)
    once = reversed_widths.weights(asked.table, asked.weights)
    assert set(once) == set(asked.weights)
    twice = reversed_widths.weights(asked.table, once)
    assert all(np.array_equal(twice[name], array) for name, array in asked.weights.items())
    assert any(not np.array_equal(once[name], array) for name, array in asked.weights.items())


def test_text_that_no_tie_explains_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, generate = example("bart", 1, 0), library.generate

    def other(model: object, given: dict[str, np.ndarray], beams: int) -> np.ndarray:
        found = generate(model, given, beams).copy()
        found[:, 1] = np.where(found[:, 1] == 9, 10, 9)
        return found

    monkeypatch.setattr(library, "generate", other)
    assert all(each.failed for each in texts.equal(asked, "torch"))
    assert all(each.failed for each in texts.equal_or_tied(asked, 1e-7))


def test_text_that_parts_at_a_tie_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With logits that may be off by ten, every text is as good as another (and of beams every one can be reached)."""
    asked, generate = example("bart", 1, 0), library.generate

    def other(model: object, given: dict[str, np.ndarray], beams: int) -> np.ndarray:
        found = generate(model, given, beams).copy()
        found[:, -1] = np.where(found[:, -1] == 9, 10, 9)
        return found

    monkeypatch.setattr(library, "generate", other)
    monkeypatch.setattr(texts, "BEAMS", (1,))
    found = list(texts.equal_or_tied(asked, 10.0))
    assert any(each.what.startswith("tie ") for each in found)
    assert not [each for each in found if each.failed]
