"""Each adapter decoding: pieces equal one pass, caches the oracle's, text follows the arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from parity.core.subject import HALF
from reference.generation import GenerationSettings
from tests.backends.samples import BATCH, CHECKPOINT, CONFIG, REORDER, SRC, TEXTS, TGT, Answers
from tests.backends.subjects import ROUNDING, SUBJECTS, assert_near, can, only

STEPS, CHUNKS = [0, 1, 2, 3, 4, 5], [0, 3, 5]
BOS = CONFIG["forced_bos_token_id"]


def pieces(whole: dict[str, np.ndarray], edges: list[int]) -> Iterator[dict[str, np.ndarray]]:
    """What each step has to give, from what one full pass gave."""
    for start, end in pairwise(edges):
        yield {name: _part(name, array, start, end) for name, array in whole.items() if not name.startswith("encoder")}


def _part(name: str, array: np.ndarray, start: int, end: int) -> np.ndarray:
    if "attention" not in name:
        return array[:, start:end]
    return array[:, :, start:end, :end] if ".attention." in name else array[:, :, start:end]


@pytest.mark.parametrize(("kind", "edges"), [("steps", STEPS), ("chunks", CHUNKS)])
def test_pieces_are_those_of_one_pass(
    captured: tuple[str, Answers], oracle: Answers, kind: str, edges: list[int]
) -> None:
    name, given = captured
    for index, wanted in enumerate(pieces(oracle.arrays("forward"), edges)):
        arrays = given.arrays(f"{kind}-{index}")
        own = {array for array in wanted if "attention" not in array or "attentions" in can(name)}
        assert set(arrays) == own
        assert {array: values.shape for array, values in arrays.items()} == {a: wanted[a].shape for a in own}
        assert_near(arrays, wanted, ROUNDING["float32"])


def test_the_cache_is_the_oracles(captured: tuple[str, Answers], oracle: Answers) -> None:
    cache, wanted = captured[1].arrays("steps-cache"), oracle.arrays("steps-cache")
    arrays_per_layer = 4 if "cross_cache" in can(captured[0]) else 2
    assert set(cache) == {name for name in wanted if int(name[-1]) < arrays_per_layer}
    assert all(array.shape == wanted[name].shape for name, array in cache.items())
    assert_near(cache, wanted, ROUNDING["float32"])
    heads = CONFIG["decoder_attention_heads"]
    assert cache["0 0"].shape == (BATCH, heads, TGT, CONFIG["d_model"] // heads)


@only("hf-torch", "hf-torch/sdpa", "hf-tf")
def test_layouts_are_the_librarys_own(captured: tuple[str, Answers]) -> None:
    heads = CONFIG["decoder_attention_heads"]
    first, *_, last = captured[1].outputs["steps"]["layouts"]
    source = [BATCH, heads, SRC, CONFIG["d_model"] // heads]
    for layout, length in ((first, 1), (last, TGT)):
        assert layout == [[BATCH, heads, length, source[-1]]] * 2 + [source] * 2


@only("hf-flax")
def test_the_flax_room_is_there_from_the_first_step(captured: tuple[str, Answers]) -> None:
    heads = CONFIG["decoder_attention_heads"]
    layouts = captured[1].outputs["steps"]["layouts"]
    assert layouts == [[[BATCH, TGT, heads, CONFIG["d_model"] // heads]] * 2] * TGT


@only("reference-torch", "reference-torch/sdpa", "reference-flax", "hf-torch", "hf-torch/sdpa")
def test_reordered_rows_go_on_as_the_oracles_do(captured: tuple[str, Answers], oracle: Answers) -> None:
    for index in range(TGT):
        assert_near(captured[1].arrays(f"reordered-{index}"), oracle.arrays(f"reordered-{index}"), ROUNDING["float32"])
    at, _ = REORDER
    before, after = oracle.arrays(f"steps-{at}"), oracle.arrays(f"reordered-{at}")
    assert np.abs(before["logits"] - after["logits"]).max() > 0.01


@only("hf-flax")
def test_one_compilation_for_each_size_of_a_piece(captured: tuple[str, Answers]) -> None:
    """Pieces of 1, 3 and 2 tokens in twelve calls; the room is that of the target."""
    assert captured[1].outputs["compiled"] == {"begin": 1, "feed": 3}


def test_settings_in_force_are_those_of_the_file(captured: tuple[str, Answers]) -> None:
    held = captured[1].outputs["settings"]
    assert GenerationSettings.from_dict(held).to_dict() == GenerationSettings.read(CHECKPOINT).to_dict()
    assert set(held) <= set(asdict(GenerationSettings()))


def test_text_is_the_oracles(captured: tuple[str, Answers], oracle: Answers) -> None:
    for text in ("stored-bos", "greedy"):
        assert captured[1].outputs[f"text {text}"] == {"sequences": oracle.outputs[f"text {text}"]["sequences"]}


def test_an_argument_of_none_wins_over_the_file(captured: tuple[str, Answers]) -> None:
    outputs = captured[1].outputs
    assert {row[1] for row in outputs["text stored-bos"]["sequences"]} == {BOS}
    assert BOS not in {row[1] for row in outputs["text greedy"]["sequences"]}
    assert all(len(row) <= TEXTS["greedy"]["max_length"] for row in outputs["text greedy"]["sequences"])


def test_scores_come_with_beams_that_were_asked_for(captured: tuple[str, Answers]) -> None:
    scores = captured[1].outputs["text beams"]["sequences_scores"]
    assert len(scores) == BATCH and all(score < 0 for score in scores)


def test_without_arguments_the_files_settings_hold(captured: tuple[str, Answers]) -> None:
    name, given = captured
    outputs = given.outputs["text defaults"]
    if "no_repeat_ngram" not in can(name):
        assert outputs["raised"] == "NotImplementedError"
        return
    rows = outputs["sequences"]
    assert {row[1] for row in rows} == {BOS} and all(len(row) > 11 for row in rows)


@only(*(name for name, (_, *dtypes) in SUBJECTS.items() if set(HALF) & set(dtypes)))
def test_half_precision_caches_stay_half(captured: tuple[str, Answers]) -> None:
    for dtype in set(SUBJECTS[captured[0]][1:]) & set(HALF):
        assert captured[1].outputs[dtype]["cache"] == [dtype]
