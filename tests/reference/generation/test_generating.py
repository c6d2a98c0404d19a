"""Both references generate what transformers 4.57.6 generates in float64, token for token, under its dialect."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest

from reference import in_flax, in_torch
from reference.generation import GenerationSettings
from reference.generation.dialect import TORCH_4_57
from reference.names import LOGITS_BIAS, expected_parameters
from tests.reference import bart_samples as samples

NAME = "untied"
PACKAGES = {"torch": in_torch, "flax": in_flax}
LENGTH = 12
GREEDY: dict[str, Any] = {"max_length": LENGTH}
BEAMS: dict[str, Any] = {"max_length": LENGTH, "num_beams": 4}
SUMMARY: dict[str, Any] = {
    **BEAMS,
    "length_penalty": 2.0,
    "min_length": 5,
    "no_repeat_ngram_size": 3,
    "early_stopping": True,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
}
ASKED = {
    "greedy": GREEDY,
    "greedy-summary": {**SUMMARY, "num_beams": 1, "length_penalty": 1.0, "early_stopping": False},
    "beams": BEAMS,
    "summary": SUMMARY,
    "never": {**BEAMS, "early_stopping": "never"},
}


@cache
def weights() -> dict[str, np.ndarray]:
    """Drawn so that the rows say different things, of different length, under every setting."""
    rng = np.random.default_rng(40)
    drawn = {}
    for name, parameter in expected_parameters(samples.config(NAME)).items():
        drawn[name] = rng.normal(0, 1.6 if "embed_positions" in name else 0.4, parameter.shape)
        if "encoder_attn." in name and name.endswith("weight"):
            drawn[name] *= 3
    drawn[LOGITS_BIAS][0, samples.config(NAME).eos_token_id] = 1.0
    return drawn


def source(rows: slice = slice(None)) -> dict[str, np.ndarray]:
    return {part: samples.inputs(NAME)[part][rows] for part in ("input_ids", "attention_mask")}


@cache
def model(framework: str) -> Any:
    if framework == "library":
        return samples.library_of(samples.CONFIGS[NAME], weights())
    samples.flax_model(NAME)  # float64 is the process's, and on from the start
    return PACKAGES[framework].build(samples.config(NAME), weights(), dtype="float64")


def by_library(arguments: dict[str, Any]) -> Any:
    import torch

    given = {part: torch.tensor(array) for part, array in source().items()}
    asked = {"do_sample": False, **arguments, "return_dict_in_generate": True, "output_scores": True}
    return model("library").generate(**given, **asked)


def by_reference(framework: str, arguments: dict[str, Any], rows: slice = slice(None)) -> Any:
    settings = GenerationSettings.from_dict(asdict(samples.config(NAME)), **arguments)
    return PACKAGES[framework].generate(model(framework), source(rows), settings, TORCH_4_57)


@pytest.mark.parametrize("framework", ["torch", "flax"])
@pytest.mark.parametrize("asked", ASKED)
def test_text_and_scores_are_the_library_s(framework: str, asked: str) -> None:
    expected = by_library(ASKED[asked])
    found = by_reference(framework, ASKED[asked])
    assert found.sequences.tolist() == expected.sequences.tolist()
    if asked != "never":
        assert len(set(map(tuple, found.sequences.tolist()))) == samples.BATCH, "rows that say the same"
    if "num_beams" in ASKED[asked] and ASKED[asked]["num_beams"] > 1:
        np.testing.assert_allclose(found.scores, expected.sequences_scores.numpy(), rtol=1e-6)  # theirs are float32
    else:
        assert found.scores is None


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_row_says_what_it_says_alone(framework: str) -> None:
    together = by_reference(framework, SUMMARY)
    alone = by_reference(framework, SUMMARY, slice(1, 2))
    length = alone.lengths[0]
    assert together.sequences[1, :length].tolist() == alone.sequences[0, :length].tolist()
    assert together.scores[1] == pytest.approx(alone.scores[0], rel=1e-12)


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="room for 14 tokens, but 13 positions"):
        by_reference("torch", {"max_length": 14})
