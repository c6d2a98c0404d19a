"""Each word of a backend's capabilities on the installed class: claimed ones were answered, others refused."""

from __future__ import annotations

import inspect

import numpy as np
import transformers

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CALLS, OTHER_CLASSES, SAVING
from tests.backends.samples import BATCH, LAYERS, TGT, Answers
from tests.backends.subjects import ROUNDING, assert_near, can, expected_names, only


def test_flax_takes_neither_embeddings_nor_a_switch_of_the_cache() -> None:
    """Which is why it lacks ``OTHER_CALLS``."""
    call = inspect.signature(transformers.FlaxBartForConditionalGeneration.__call__)
    assert not {"inputs_embeds", "decoder_inputs_embeds", "use_cache"} & set(call.parameters)


class TestCapabilities:
    """By a refusal, or by an answer without the field."""

    def test_every_word_is_judged_here(self) -> None:
        methods = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        elsewhere = {"load", "hidden_states", "default_decoder_inputs", "encode_decode", "gradients", "other_searches"}
        elsewhere |= {"forced_end", "further_settings", "empty_source"}  # only engines lack them: tests/engines
        # What is saved, what is documented, and calls in another way are captured in audits:
        # tests/end_to_end/test_saving.py, test_audit.py, test_exhaustive.py.
        assert set(OPERATIONS) - elsewhere - {*SAVING, *DOCUMENTED, *OTHER_CLASSES, *OTHER_CALLS} <= methods

    def test_labels(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        if "labels" in can(name):
            assert "loss" in given.outputs["labels"]["names"]
        else:
            assert given.outputs["labels"]["raised"] == "TypeError" and "labels" in given.outputs["labels"]["message"]

    def test_head_masks(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        if "head_masks" in can(name):
            assert given.outputs["head_masks"]["names"] == expected_names(name)
        else:
            assert given.outputs["head_masks"]["raised"] == "TypeError"

    def test_attentions(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        fields = [fact["field"] for fact in given.outputs["forward"]["facts"]]
        assert ("cross_attentions" in fields) == ("attentions" in can(name))

    def test_cache_output(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        facts = {fact["field"]: fact for fact in given.outputs["forward"]["facts"]}
        assert ("past_key_values" in facts) == ("cache_output" in can(name))
        assert "past_key_values" not in facts or facts["past_key_values"]["kind"] == "other"

    def test_tuple(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        if "tuple" in can(name):
            assert given.outputs["tuple"] == {"type": "tuple", "length": len(given.outputs["forward"]["facts"])}
        else:
            assert given.outputs["tuple"]["raised"] == "NotImplementedError"

    @only("hf-torch/sdpa")
    def test_head_masks_that_are_ignored_stay_a_capability(self, captured: tuple[str, Answers]) -> None:
        """transformers 4.57.6 takes them and computes without them: a divergence to be found, not hidden."""
        name, given = captured
        assert "head_masks" in can(name)
        whole, masked = given.arrays("forward"), given.arrays("head_masks")
        assert all(np.array_equal(whole[array], masked[array]) for array in whole)

    def test_layerwise(self, captured: tuple[str, Answers]) -> None:
        """A state turned round shows in what its own layer makes of it, and in nothing behind that."""
        name, given = captured
        assert "layerwise" in can(name)
        whole, alone = given.arrays("forward"), given.arrays("layers")
        made = [each for each in whole if ".hidden." in each and not each.endswith(".0")]
        assert_near({each: alone[each] for each in made}, whole, ROUNDING["float32"])
        for state in LAYERS:
            half, number = state.split(".hidden.")
            own, turned = f"{half}.hidden.{int(number) + 1}", given.arrays(f"layers {state}")
            others = {each: turned[each] for each in made if each != own}
            assert_near(others, whole, ROUNDING["float32"])
            assert np.abs(turned[own] - whole[own]).max() > 0.1 * np.abs(whole[own]).max()

    def test_decode_steps(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        assert "decode_steps" in can(name) and len(given.outputs["steps"]["steps"]) == TGT

    def test_cross_cache(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        cache = given.arrays("steps-cache")
        assert ("0 2" in cache) == ("cross_cache" in can(name))
        assert "0 0" in cache and "0 1" in cache

    def test_reorder_cache(self, captured: tuple[str, Answers]) -> None:
        """Lacking where neither the model nor anything it decodes with has a method of such a name."""
        name, given = captured
        if "reorder_cache" in can(name):
            assert len(given.outputs["reordered"]["steps"]) == TGT
        else:
            assert given.outputs["reordered"]["raised"] == "NotImplementedError" and given.outputs["reorders"] == []

    def test_generate(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        assert "generate" in can(name) and len(given.outputs["text greedy"]["sequences"]) == BATCH

    def test_beam_search(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        assert "beam_search" in can(name) and "beam_search" not in can(name, "bfloat16")
        assert len(given.outputs["text beams"]["sequences_scores"]) == BATCH

    def test_no_repeat_ngram(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        if "no_repeat_ngram" in can(name):
            assert len(given.outputs["text no-repeat"]["sequences"]) == BATCH
        else:
            assert given.outputs["text no-repeat"]["raised"] == "NotImplementedError"

    def test_generation_settings(self, captured: tuple[str, Answers]) -> None:
        name, given = captured
        assert "generation_settings" in can(name) and given.outputs["settings"]["max_length"] == 28
