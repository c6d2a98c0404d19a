"""Each word of a backend's capabilities on the installed class: claimed ones were answered, others refused."""

from __future__ import annotations

import numpy as np

from parity.backends.capabilities import DOCUMENTED, OPERATIONS, OTHER_CLASSES, SAVING
from tests.backends.samples import BATCH, LAYERS, TGT, Answers
from tests.backends.subjects import ROUNDING, assert_near, can, expected_names, only


class TestCapabilities:
    """By a refusal, or by an answer without the field."""

    def test_every_word_is_judged_here(self) -> None:
        methods = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        elsewhere = {"load", "hidden_states", "default_decoder_inputs", "encode_decode", "gradients", "other_searches"}
        # What is saved and what is documented is asked in audits: tests/end_to_end/test_saving.py, test_audit.py.
        assert set(OPERATIONS) - elsewhere - {*SAVING, *DOCUMENTED, *OTHER_CLASSES} <= methods

    def test_labels(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "labels" in can(name):
            assert "loss" in given.told["labels"]["names"]
        else:
            assert given.told["labels"]["raised"] == "TypeError" and "labels" in given.told["labels"]["message"]

    def test_head_masks(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "head_masks" in can(name):
            assert given.told["head_masks"]["names"] == expected_names(name)
        else:
            assert given.told["head_masks"]["raised"] == "TypeError"

    def test_attentions(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        fields = [fact["field"] for fact in given.told["forward"]["facts"]]
        assert ("cross_attentions" in fields) == ("attentions" in can(name))

    def test_cache_output(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        facts = {fact["field"]: fact for fact in given.told["forward"]["facts"]}
        assert ("past_key_values" in facts) == ("cache_output" in can(name))
        assert "past_key_values" not in facts or facts["past_key_values"]["kind"] == "other"

    def test_tuple(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "tuple" in can(name):
            assert given.told["tuple"] == {"type": "tuple", "length": len(given.told["forward"]["facts"])}
        else:
            assert given.told["tuple"]["raised"] == "NotImplementedError"

    @only("hf-torch/sdpa")
    def test_head_masks_that_are_ignored_stay_a_capability(self, asked: tuple[str, Answers]) -> None:
        """transformers 4.57.6 takes them and computes without them: a divergence to be found, not hidden."""
        name, given = asked
        assert "head_masks" in can(name)
        whole, masked = given.arrays("forward"), given.arrays("head_masks")
        assert all(np.array_equal(whole[array], masked[array]) for array in whole)

    def test_layerwise(self, asked: tuple[str, Answers]) -> None:
        """A state turned round shows in what its own layer makes of it, and in nothing behind that."""
        name, given = asked
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

    def test_decode_steps(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        assert "decode_steps" in can(name) and len(given.told["steps"]["steps"]) == TGT

    def test_cross_cache(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        kept = given.arrays("steps-cache")
        assert ("0 2" in kept) == ("cross_cache" in can(name))
        assert "0 0" in kept and "0 1" in kept

    def test_reorder_cache(self, asked: tuple[str, Answers]) -> None:
        """Lacking where neither the model nor anything it decodes with has a method of such a name."""
        name, given = asked
        if "reorder_cache" in can(name):
            assert len(given.told["reordered"]["steps"]) == TGT
        else:
            assert given.told["reordered"]["raised"] == "NotImplementedError" and given.told["reorders"] == []

    def test_generate(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        assert "generate" in can(name) and len(given.told["text greedy"]["sequences"]) == BATCH

    def test_beam_search(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        assert "beam_search" in can(name) and "beam_search" not in can(name, "bfloat16")
        assert len(given.told["text beams"]["sequences_scores"]) == BATCH

    def test_no_repeat_ngram(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "no_repeat_ngram" in can(name):
            assert len(given.told["text no-repeat"]["sequences"]) == BATCH
        else:
            assert given.told["text no-repeat"]["raised"] == "NotImplementedError"

    def test_generation_settings(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        assert "generation_settings" in can(name) and given.told["settings"]["max_length"] == 28
