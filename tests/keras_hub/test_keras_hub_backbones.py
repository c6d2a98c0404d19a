"""keras-hub's BERT, RoBERTa and GPT-2 compute what both references say, within tolerances measured on them.

What they witness, and what not, stands in ``keras_hub_backbones.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from parity.judge.tolerance import root_mean_square, signal
from tests.keras_hub.ask_backbones import FAULTS
from tests.keras_hub.backbones import CONFIGS, LAYERS, PACKAGES, batches, truth_of

TENSORS = [*(f"hidden.{layer}" for layer in range(LAYERS + 1)), "logits"]
CASES = [(family, fault) for family, faults in FAULTS.items() for fault in faults]


def out_of_tolerance(backbones: Path, family: str, reference: str, fault: str) -> list[str]:
    found = load_file(backbones / "answers" / family / f"{fault}.safetensors")
    answers = [{name: found[f"{number}/{name}"] for name in TENSORS} for number in range(len(batches()))]
    return truth_of(backbones / family).out_of_tolerance(reference, answers)


@pytest.mark.parametrize("reference", PACKAGES)
@pytest.mark.parametrize("family", CONFIGS)
def test_it_agrees_with_both_references(backbones: Path, family: str, reference: str) -> None:
    assert out_of_tolerance(backbones, family, reference, "none") == []


@pytest.mark.parametrize(("family", "fault"), CASES)
def test_a_fault_leaves_its_tolerance_first_where_it_was_made(backbones: Path, family: str, fault: str) -> None:
    assert out_of_tolerance(backbones, family, "reference-torch", fault)[0] == FAULTS[family][fault][1]


@pytest.mark.parametrize("family", CONFIGS)
def test_no_tolerance_is_as_large_as_a_wrong_answer(backbones: Path, family: str) -> None:
    truth = truth_of(backbones / family)
    for answer in truth.answers["reference-torch"]:
        assert list(answer) == TENSORS
        for name, array in answer.items():
            assert truth.noise_floor.tolerance(name, "keras-hub").slice < signal(array, root_mean_square(array)) / 1000
