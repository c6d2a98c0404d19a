"""A cache changes what is computed, never what comes out: steps of any size give what one full pass gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import in_flax, in_torch
from tests.reference import bart_samples as samples

PACKAGES = {"torch": in_torch, "flax": in_flax}
EXACT = 1e-12
CAPACITY = samples.TGT + 1
"""One more than is fed, so that a position never written would show."""


def model(framework: str, name: str) -> Any:
    return samples.torch_model(name) if framework == "torch" else samples.flax_model(name)


def decoder_inputs(name: str) -> dict[str, np.ndarray]:
    """Ids and masks for ``decode``: padding within the target's mask too."""
    given = dict(samples.inputs(name))
    tokens = np.random.default_rng(3).integers(4, samples.VOCAB, (samples.BATCH, samples.TGT))
    mask = given["decoder_attention_mask"].copy()
    mask[1, 2:4] = 0
    return {
        "input_ids": given["input_ids"],
        "attention_mask": given["attention_mask"],
        "decoder_input_ids": tokens,
        "decoder_attention_mask": mask,
    }


def full_pass(framework: str, name: str, given: dict[str, np.ndarray]) -> Any:
    ours, arrays = model(framework, name), PACKAGES[framework].as_inputs(model(framework, name), given)
    memory = ours.encode(arrays["input_ids"], arrays["attention_mask"]).last_hidden_state
    return ours.decode(arrays["decoder_input_ids"], memory, arrays["attention_mask"], arrays["decoder_attention_mask"])


def started(framework: str, name: str, given: dict[str, np.ndarray]) -> tuple[dict[str, Any], Any]:
    """The inputs in the framework, the target's mask as long as the room, and an empty cache."""
    room = np.ones((samples.BATCH, CAPACITY), np.int64)
    room[:, : samples.TGT] = given["decoder_attention_mask"]
    ours = model(framework, name)
    arrays = PACKAGES[framework].as_inputs(ours, {**given, "decoder_attention_mask": room})
    memory = ours.encode(arrays["input_ids"], arrays["attention_mask"]).last_hidden_state
    return arrays, ours.start_cache(memory, CAPACITY)


def in_steps(framework: str, name: str, given: dict[str, np.ndarray], sizes: list[int]) -> tuple[list[Any], Any]:
    arrays, cache = started(framework, name, given)
    outputs, start = [], 0
    for size in sizes:
        tokens = arrays["decoder_input_ids"][:, start : start + size]
        masks = (arrays["attention_mask"], arrays["decoder_attention_mask"])
        output, cache = model(framework, name).step(tokens, cache, *masks)
        outputs.append(output)
        start += size
    return outputs, cache


@pytest.mark.parametrize("framework", ["torch", "flax"])
@pytest.mark.parametrize("sizes", [[1] * samples.TGT, [3, 2, 2, 4]])
def test_steps_give_what_one_pass_gives(framework: str, sizes: list[int]) -> None:
    given = decoder_inputs("odd")
    expected = full_pass(framework, "odd", given)
    outputs, cache = in_steps(framework, "odd", given, sizes)
    start = 0
    for size, output in zip(sizes, outputs, strict=True):
        end = start + size
        samples.assert_close(
            samples.host(output.logits), samples.host(expected.logits)[:, start:end], EXACT, f"logits from {start}"
        )
        for layer, states in enumerate(output.hidden_states):
            wanted = samples.host(expected.hidden_states[layer])[:, start:end]
            samples.assert_close(samples.host(states), wanted, EXACT, f"hidden {layer} from {start}")
        weights = samples.host(output.attentions[0])
        assert weights.shape[-1] == CAPACITY
        assert not weights[..., end:].any(), "attention to positions not yet written"
        wanted = samples.host(expected.attentions[0])[:, :, start:end, :end]
        samples.assert_close(weights[..., :end], wanted, EXACT, "attentions")
        start = end
    assert cache.length == samples.TGT


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_what_is_kept_is_the_library_s_in_the_documented_layout(framework: str) -> None:
    given = decoder_inputs("untied")
    _, cache = in_steps(framework, "untied", given, [3, 8])
    library = samples.call_library("untied", given).past_key_values.to_legacy_cache()
    kept = cache.past_key_values()
    assert [len(layer) for layer in kept] == [4] * samples.config("untied").decoder_layers
    for layer, (ours, theirs) in enumerate(zip(kept, library, strict=True)):
        for part, one, other in zip(("key", "value", "cross key", "cross value"), ours, theirs, strict=True):
            samples.assert_close(samples.host(one), samples.host(other), EXACT, f"{part} of layer {layer}")


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_a_reordered_cache_continues_the_other_row(framework: str) -> None:
    """Both rows go on from row 1, and both see row 1's source."""
    given = decoder_inputs("odd")
    arrays, cache = started(framework, "odd", given)
    ours = model(framework, "odd")
    rows = PACKAGES[framework].as_inputs(ours, {"rows": np.array([1, 1])})["rows"]
    _, cache = ours.step(
        arrays["decoder_input_ids"][:, :5], cache, arrays["attention_mask"], arrays["decoder_attention_mask"]
    )
    source_mask, target_mask = arrays["attention_mask"][rows], arrays["decoder_attention_mask"][rows]
    output, _ = ours.step(arrays["decoder_input_ids"][:, 5:], cache.reordered(rows), source_mask, target_mask)
    mixed = {name: array[[1, 1]] for name, array in given.items()}
    mixed["decoder_input_ids"] = mixed["decoder_input_ids"].copy()
    mixed["decoder_input_ids"][:, 5:] = given["decoder_input_ids"][:, 5:]
    expected = samples.host(full_pass(framework, "odd", mixed).logits)[:, 5:]
    samples.assert_close(samples.host(output.logits), expected, EXACT, "logits")
    unmixed = samples.host(full_pass(framework, "odd", given).logits)[:, 5:]
    assert np.abs((samples.host(output.logits) - unmixed)[0]).max() > 1e-3


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_masks_left_out_keep_everything(framework: str) -> None:
    given = decoder_inputs("odd")
    whole = {**given, **{name: np.ones_like(given[name]) for name in ("attention_mask", "decoder_attention_mask")}}
    expected = full_pass(framework, "odd", whole)
    arrays = PACKAGES[framework].as_inputs(model(framework, "odd"), whole)
    memory = model(framework, "odd").encode(arrays["input_ids"]).last_hidden_state
    cache = model(framework, "odd").start_cache(memory, samples.TGT)
    output, _ = model(framework, "odd").step(arrays["decoder_input_ids"], cache)
    samples.assert_close(samples.host(output.logits), samples.host(expected.logits), EXACT, "logits")


@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_more_than_there_is_room_for_is_refused(framework: str) -> None:
    given = decoder_inputs("odd")
    arrays, cache = started(framework, "odd", given)
    states = model(framework, "odd").encode(arrays["input_ids"]).last_hidden_state
    with pytest.raises(ValueError, match="room for 14 tokens, but 13 positions"):
        model(framework, "odd").start_cache(states, 14)
    masks = (arrays["attention_mask"], arrays["decoder_attention_mask"])
    _, cache = model(framework, "odd").step(arrays["decoder_input_ids"][:, :5], cache, *masks)
    with pytest.raises(ValueError, match="5 tokens in the cache and 11 new ones exceed its capacity of 12"):
        model(framework, "odd").step(arrays["decoder_input_ids"], cache, *masks)
