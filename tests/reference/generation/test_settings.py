"""Settings: where they are read, what wins, and what is refused in one line."""

from __future__ import annotations

import json

import pytest

from reference.errors import CheckpointError
from reference.generation import DOCUMENTED, GenerationSettings
from reference.generation.dialect import FLAX_4_57, TORCH_4_57, TORCH_5_23

CONFIG = {"model_type": "bart", "vocab_size": 29, "d_model": 16, "max_length": 7, "num_beams": 3, "pad_token_id": 5}


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_without_its_file_settings_are_those_of_the_config(checkpoint):
    read = GenerationSettings.read(checkpoint, num_beams=4)
    assert (read.max_length, read.num_beams, read.pad_token_id) == (7, 4, 5)
    assert (read.eos_token_id, read.decoder_start_token_id, read.forced_eos_token_id) == (2, 2, 2)
    assert read.passed == {"num_beams"} and "max_length" in read.stored


def test_the_file_wins_over_the_config_and_null_is_the_default(checkpoint):
    stored = {"eos_token_id": 2, "bos_token_id": 0, "length_penalty": 2, "early_stopping": None}
    (checkpoint / "generation_config.json").write_text(json.dumps(stored))
    read = GenerationSettings.read(checkpoint)
    assert (read.max_length, read.num_beams, read.length_penalty, read.early_stopping) == (20, 1, 2, False)
    assert read.pad_token_id is None and read.fill(DOCUMENTED) == 2 and read.decoder_start_token_id == 0


def test_new_tokens_count_without_the_start_token_and_win():
    settings = GenerationSettings.from_dict({"bos_token_id": 0, "max_length": 9}, max_new_tokens=4, min_new_tokens=2)
    resolved = settings.resolved(DOCUMENTED)
    assert (resolved.max_length, resolved.min_length, resolved.max_new_tokens) == (5, 3, None)


@pytest.mark.parametrize(
    ("stored", "passed", "lengths"),
    [({}, {}, (21, 21, 20)), ({"max_length": 20}, {}, (21, 20, 20)), ({}, {"max_length": 20}, (20, 20, 21))],
)
def test_meaning_of_the_default_max_length_depends_on_where_it_is_set(stored, passed, lengths):
    settings = GenerationSettings.from_dict({"bos_token_id": 0, **stored}, **passed)
    assert settings.resolved(DOCUMENTED).max_length == 20
    assert tuple(settings.resolved(d).max_length for d in (TORCH_4_57, TORCH_5_23, FLAX_4_57)) == lengths


def test_several_ends_are_a_tuple_here_and_a_list_in_files(checkpoint):
    stored = {"eos_token_id": [4, 2], "forced_eos_token_id": [4], "bos_token_id": 0}
    (checkpoint / "generation_config.json").write_text(json.dumps(stored))
    read = GenerationSettings.read(checkpoint)
    assert (read.ends, read.forced_ends, read.fill(DOCUMENTED)) == ((4, 2), (4,), 4)
    assert {name: read.to_dict()[name] for name in stored} == stored
    assert GenerationSettings.from_dict(read.to_dict()).ends == (4, 2) and hash(read)
    one = GenerationSettings.from_dict({"bos_token_id": 0, "eos_token_id": 5, "pad_token_id": 1})
    assert (one.ends, one.forced_ends, one.to_dict()["eos_token_id"], one.fill(DOCUMENTED)) == ((5,), (), 5, 1)
    assert GenerationSettings(decoder_start_token_id=0).ends == ()


def test_what_only_sampling_looks_at_may_hold_anything_where_nothing_is_drawn(checkpoint):
    stored = {"bos_token_id": 0, "temperature": 0.0, "top_k": -1, "top_p": 7, "min_p": 0.1, "do_sample": True}
    (checkpoint / "generation_config.json").write_text(json.dumps(stored))
    assert GenerationSettings.read(checkpoint, do_sample=False).temperature == 0.0
    with pytest.raises(CheckpointError, match=r"^an argument: temperature is -1"):
        GenerationSettings.from_dict({"bos_token_id": 0, "do_sample": True}, temperature=-1)


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([], "generation_config.json: contains an array, not a JSON object"),
        ({"max_length": "9"}, "generation_config.json: max_length is '9', not an integer of at least 1"),
        ({"num_beams": True}, "generation_config.json: num_beams is True, not an integer of at least 1"),
        ({"eos_token_id": -1}, "generation_config.json: eos_token_id is -1, not a token id"),
        ({"eos_token_id": [2, True]}, "generation_config.json: eos_token_id is [2, True], not a list of token ids"),
        ({"forced_eos_token_id": []}, "generation_config.json: forced_eos_token_id is [], not a list of token ids"),
        ({"pad_token_id": [2]}, "generation_config.json: pad_token_id is [2], not a token id"),
        ({"eos_token_id": [2, 31]}, "generation_config.json: eos_token_id is 31, outside the vocabulary of 29"),
        ({"pad_token_id": 29}, "generation_config.json: pad_token_id is 29, outside the vocabulary of 29"),
        ({"length_penalty": float("inf")}, "generation_config.json: length_penalty is inf, not a finite number"),
        (
            {"early_stopping": "always"},
            "generation_config.json: early_stopping is 'always', not true, false or 'never'",
        ),
        ({"early_stopping": 1}, "generation_config.json: early_stopping is 1, not true, false or 'never'"),
        ({"do_sample": 1}, "generation_config.json: do_sample is 1, not true or false"),
        ({"renormalize_logits": "no"}, "generation_config.json: renormalize_logits is 'no', not true or false"),
        ({"repetition_penalty": 0}, "generation_config.json: repetition_penalty is 0, not a finite number above 0"),
        ({"num_return_sequences": 0}, "generation_config.json: num_return_sequences is 0, not an integer of at least"),
        ({"num_return_sequences": 2}, "generation_config.json: num_return_sequences is 2, and greedy search has one"),
        (
            {"num_return_sequences": 3, "num_beams": 2},
            "generation_config.json: num_return_sequences is 3, more than num_beams 2",
        ),
        ({"do_sample": True, "num_beams": 2}, "generation_config.json: do_sample with num_beams 2 is beam sampling"),
        (
            {"do_sample": True, "temperature": 0.0},
            "generation_config.json: temperature is 0.0, and text is drawn at one above",
        ),
        (
            {"do_sample": True, "temperature": float("nan")},
            "generation_config.json: temperature is nan, not a finite number",
        ),
        ({"do_sample": True, "top_k": -1}, "generation_config.json: top_k is -1, not a count of tokens"),
        ({"do_sample": True, "top_k": 2.0}, "generation_config.json: top_k is 2.0, not an integer"),
        ({"do_sample": True, "top_p": 1.5}, "generation_config.json: top_p is 1.5, not above 0 and at most 1"),
        ({"do_sample": True, "top_p": 0}, "generation_config.json: top_p is 0, not above 0 and at most 1"),
        ({"do_sample": True, "min_p": 1.5}, "generation_config.json: min_p is 1.5, not between 0 and 1"),
        ({"do_sample": True, "typical_p": 0}, "generation_config.json: typical_p is 0, not above 0 and at most 1"),
        ({"do_sample": True, "eta_cutoff": 1}, "generation_config.json: eta_cutoff is 1, not at least 0 and below 1"),
        ({"epsilon_cutoff": "1"}, "generation_config.json: epsilon_cutoff is '1', not a finite number"),
        ({"num_beam_groups": 2}, "generation_config.json: num_beam_groups is 2, which the reference does not support"),
        ({"bos_token_id": None}, "generation_config.json: has neither decoder_start_token_id nor bos_token_id"),
        ({"max_length": 1}, "generation_config.json: max_length is 1, which leaves no token after the start token"),
        ({"min_length": 21}, "generation_config.json: min_length 21 is longer than max_length 20"),
    ],
)
def test_what_cannot_be_followed_is_one_line_with_its_file(checkpoint, stored, said):
    whole = {"bos_token_id": 0, **stored} if isinstance(stored, dict) else stored
    (checkpoint / "generation_config.json").write_text(json.dumps(whole))
    with pytest.raises(CheckpointError) as caught:
        GenerationSettings.read(checkpoint)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_argument_is_not_blamed_on_the_file(checkpoint):
    with pytest.raises(CheckpointError, match=r"^an argument: num_beams is 0"):
        GenerationSettings.read(checkpoint, num_beams=0)
    with pytest.raises(CheckpointError, match=r"^an argument: nmu_beams is not a documented"):
        GenerationSettings.read(checkpoint, nmu_beams=2)
    with pytest.raises(CheckpointError, match=r"^an argument: eos_token_id is 29, outside"):
        GenerationSettings.read(checkpoint, eos_token_id=29)
