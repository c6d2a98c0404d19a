"""Both references draw the same tokens by the same numbers, in float64; in float32 too where no margin is an error."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from reference.generation import GenerationSettings, generate, uniform_numbers
from tests.reference import bart_samples as samples

NAME, EACH, LENGTH = "untied", 5, 11
DRAWN: dict[str, Any] = {"do_sample": True, "max_length": LENGTH, "num_return_sequences": EACH}
ASKED = {
    "plain": {**DRAWN, "top_k": 0},
    "warped": {**DRAWN, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "repetition_penalty": 1.2},
}


def by(framework: str, dtype: str, arguments: dict[str, Any]) -> Any:
    model = getattr(samples, f"{framework}_model")(NAME, dtype)
    inputs = {part: samples.inputs(NAME)[part] for part in ("input_ids", "attention_mask")}
    settings = GenerationSettings(pad_token_id=0, eos_token_id=(2, 7), decoder_start_token_id=3, **arguments)
    decoder = import_module(f"reference.in_{framework}.generation").CachedDecoder(model, inputs, LENGTH)
    return generate(decoder, samples.BATCH, settings, uniforms=uniform_numbers(3, samples.BATCH, settings))


@pytest.mark.parametrize("asked", ASKED)
def test_the_same_numbers_give_the_same_text(asked: str) -> None:
    torch, flax = (by(framework, "float64", ASKED[asked]) for framework in ("torch", "flax"))
    assert torch.sequences.tolist() == flax.sequences.tolist()
    np.testing.assert_allclose(torch.draws.upper, flax.draws.upper, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(torch.margins, flax.margins, rtol=1e-6, atol=1e-9)
    assert len(set(map(tuple, torch.sequences.tolist()))) > samples.BATCH * EACH // 2, "rows that say the same"
    assert len(set(torch.lengths.tolist())) > 1, "no row ends before another"


def test_float32_parts_from_float64_only_at_a_small_margin() -> None:
    exact, rounded = (by("torch", dtype, ASKED["warped"]) for dtype in ("float64", "float32"))
    for row in range(samples.BATCH * EACH):
        width = min(exact.sequences.shape[1], rounded.sequences.shape[1])
        apart = np.flatnonzero(exact.sequences[row, :width] != rounded.sequences[row, :width])
        assert not apart.size or exact.margins[row, apart[0] - 1] < 1e-3
