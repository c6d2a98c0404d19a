"""One generation setting that cannot be judged: only what depends on it is skipped, with the reason."""

from __future__ import annotations

import json
import shutil

import pytest

from fixtures.make import CHECKPOINTS
from parity.cases.standard import standard_cases
from parity.checkpoint.generation_settings import MOST_BEAMS, NOT_FOLLOWED
from parity.checkpoint.inspection import inspect_checkpoint
from reference.generation import GenerationSettings

POSITIONS = 33
"""Of ``bart-odd``."""


@pytest.fixture
def generating(tmp_path):
    """The generation cases of a checkpoint whose ``generation_config.json`` says these things too."""

    def cases(config=None, **stored):
        copy = tmp_path / "bart-copy"
        shutil.copytree(CHECKPOINTS / "bart-odd", copy)
        for name, more in (("generation_config.json", stored), ("config.json", config or {})):
            content = json.loads((copy / name).read_text())
            (copy / name).write_text(json.dumps({**content, **more}))
        checkpoint = inspect_checkpoint(copy)
        found = standard_cases(checkpoint.model_spec, None, checkpoint.generation)
        return {case.name: case for case in found if case.operation in ("generate", "generation_settings")}

    return cases


def assert_only_defaults_are_skipped(cases, why, name, switched_off=None):
    for case in cases.values():
        arguments = case.settings.get("arguments")
        if arguments == {}:
            assert case.notes["lacking"]["other_searches"].endswith(f".json: {why}"), case.notes["lacking"]
        elif arguments is None:
            assert case.requires == ("generation_settings",)
        else:
            assert "other_searches" not in case.requires and "lacking" not in case.notes
            assert name in arguments, case.name
            if switched_off is not None:
                assert arguments[name] == switched_off[0]
    assert sum(case.settings.get("arguments") == {} for case in cases.values()) == 2


@pytest.mark.parametrize(
    ("stored", "why", "switched_off"),
    [
        ({"num_return_sequences": 2}, "num_return_sequences is 2, which no check judges", 1),
        ({"do_sample": True, "num_beams": 1}, "do_sample is True, which no check judges", False),
        ({"diversity_penalty": 0.5}, "diversity_penalty is 0.5, which the reference does not support", 0),
        ({"num_beam_groups": 2}, "num_beam_groups is 2, which the reference does not support", 1),
        ({"penalty_alpha": 0.5}, "penalty_alpha is 0.5, which the reference does not support", 0),
    ],
)
def test_cases_with_settings_of_their_own_switch_it_off_and_are_judged(generating, stored, why, switched_off):
    (name, *_), cases = stored, generating(**stored)
    assert_only_defaults_are_skipped(cases, why, name, (switched_off,))


def test_several_end_tokens_are_judged_without_arguments_and_one_of_them_with(generating):
    cases = generating(eos_token_id=[2, 5])
    assert cases["generate.defaults"].notes["settings"]["eos_token_id"] == [2, 5]
    assert "other_searches" not in cases["generate.defaults"].requires
    assert cases["generate.greedy"].settings["arguments"]["eos_token_id"] == 2


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({}, "do_sample with num_beams 4 is beam sampling, which the reference does not support"),
        ({"num_beams": 1, "temperature": 0.0}, "temperature is 0.0, and text is drawn at one above 0"),
        ({"num_beams": 1, "min_p": -0.1}, "min_p is -0.1, not between 0 and 1"),
    ],
)
def test_where_text_is_drawn_only_cases_that_search_instead_are_asked(generating, stored, why):
    assert_only_defaults_are_skipped(generating(do_sample=True, **stored), why, "do_sample", (False,))


def test_several_such_settings_are_all_named_and_all_switched_off(generating):
    cases = generating(penalty_alpha=0.5, diversity_penalty=2.0)
    told = cases["generate.defaults"].notes["lacking"]["other_searches"]
    assert "penalty_alpha is 0.5" in told and "diversity_penalty is 2.0" in told
    assert (
        cases["generate.greedy"].settings["arguments"].items() >= {"penalty_alpha": 0, "diversity_penalty": 0}.items()
    )


@pytest.mark.parametrize(
    ("name", "value", "neutral"),
    [
        ("repetition_penalty", 1.2, 1.0),
        ("encoder_repetition_penalty", 1.2, 1.0),
        ("encoder_no_repeat_ngram_size", 3, 0),
        ("renormalize_logits", True, False),
        ("suppress_tokens", [5], None),
        ("begin_suppress_tokens", [5], None),
        ("bad_words_ids", [[5], [6, 7]], None),
        ("sequence_bias", [[[5], -1.5]], None),
        ("exponential_decay_length_penalty", [3, 1.1], None),
    ],
)
def test_a_further_setting_is_judged_where_it_is_in_force_and_passed_as_neutral_elsewhere(
    generating, name, value, neutral
):
    for case in generating(**{name: value}).values():
        arguments = case.settings.get("arguments")
        assert "lacking" not in case.notes
        if arguments == {}:
            assert case.notes["settings"][name] == value and "further_settings" in case.requires
        elif arguments is not None:
            assert arguments[name] == neutral and "further_settings" not in case.requires


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"watermarking_config": {}}, "watermarking_config is {}, which the reference does not support"),
        ({"forced_decoder_ids": [[1, 5]]}, "forced_decoder_ids is [[1, 5]], which the reference does not support"),
        ({"pad_token_id": 10**30}, "outside the vocabulary of 97"),
        ({"decoder_start_token_id": None, "bos_token_id": None}, "has neither decoder_start_token_id nor bos_token_id"),
    ],
)
def test_what_no_argument_switches_off_in_every_version_skips_every_text_and_nothing_else(generating, stored, why):
    for case in generating(**stored).values():
        if case.operation == "generate":
            assert why in case.notes["lacking"]["other_searches"]
        else:
            assert case.requires == ("generation_settings",)


BEYOND = f"is beyond the {POSITIONS} positions of the decoder"


@pytest.mark.parametrize(
    ("stored", "why", "name"),
    [
        ({"max_length": 10**9}, f"max_length 1,000,000,000 {BEYOND}", "max_length"),
        ({"max_length": POSITIONS + 1}, f"max_length {POSITIONS + 1} {BEYOND}", "max_length"),
        ({"max_new_tokens": 10**9}, f"max_new_tokens 1,000,000,000 {BEYOND}", "max_new_tokens"),
        ({"max_new_tokens": POSITIONS}, f"max_new_tokens {POSITIONS} {BEYOND}", "max_new_tokens"),
        ({"min_length": 10**9}, "min_length 1000000000 is longer than max_length 28", "min_length"),
        ({"min_new_tokens": 10**9}, "min_length 1000000001 is longer than max_length 28", "min_new_tokens"),
        ({"min_length": 29}, "min_length 29 is longer than max_length 28", "min_length"),
        ({"min_new_tokens": 30}, "min_length 31 is longer than max_length 28", "min_new_tokens"),
        ({"no_repeat_ngram_size": 10**9}, f"no_repeat_ngram_size 1,000,000,000 {BEYOND}", "no_repeat_ngram_size"),
        ({"num_beams": 10**6}, f"num_beams 1,000,000 is beyond the {MOST_BEAMS} that are judged here", "num_beams"),
        (
            {"num_return_sequences": 10**6},
            "num_return_sequences is 1000000, more than num_beams 4",
            "num_return_sequences",
        ),
        ({"max_length": -3}, "max_length is -3, not an integer of at least 1", "max_length"),
        ({"max_length": 1e9}, "max_length is 1000000000.0, not an integer of at least 1", "max_length"),
        ({"max_length": True}, "max_length is True, not an integer of at least 1", "max_length"),
        ({"num_beams": "4"}, "num_beams is '4', not an integer of at least 1", "num_beams"),
        ({"num_beams": 2.0}, "num_beams is 2.0, not an integer of at least 1", "num_beams"),
        ({"length_penalty": "x" * 10**6}, "not a finite number", "length_penalty"),
        (
            {"early_stopping": "sometimes"},
            "early_stopping is 'sometimes', not true, false or 'never'",
            "early_stopping",
        ),
    ],
)
def test_work_without_end_is_bounded_and_skips_by_name(generating, stored, why, name):
    cases = generating(**stored)
    told = cases["generate.defaults"].notes["lacking"]["other_searches"]
    assert told.endswith(why) and len(told) < 600
    assert_only_defaults_are_skipped(cases, told.rpartition(".json: ")[2], name)
    for case in cases.values():
        settings = GenerationSettings.from_dict(case.notes["settings"])
        assert settings.max_length <= POSITIONS and settings.num_beams <= MOST_BEAMS


@pytest.mark.parametrize("name", ["max_length", "num_beams", "max_new_tokens", "num_return_sequences"])
def test_a_config_beside_the_file_is_bounded_too(generating, name):
    cases = generating(config={name: 10**9})
    told = cases["generate.defaults"].notes["lacking"]["other_searches"]
    assert f"config.json: {name} 1,000,000,000 is beyond the" in told
    assert_only_defaults_are_skipped(cases, told.rpartition(".json: ")[2], name)


def test_new_tokens_that_are_stored_do_not_win_over_the_lengths_a_case_passes(generating):
    for case in generating(max_new_tokens=9, min_new_tokens=3).values():
        if arguments := case.settings.get("arguments"):
            assert arguments["max_new_tokens"] is None and arguments["min_new_tokens"] is None
            assert case.notes["settings"]["max_new_tokens"] is None
        assert "lacking" not in case.notes


def test_the_questions_of_a_checkpoint_whose_settings_are_all_judged_are_as_they_were(generating):
    own = {
        "do_sample",
        "num_beams",
        "length_penalty",
        "min_length",
        "no_repeat_ngram_size",
        "early_stopping",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "max_length",
    }
    for case in generating().values():
        assert set(case.settings.get("arguments", ())) in (set(), own)
        assert NOT_FOLLOWED not in case.notes["settings"]


def test_what_only_sampling_looks_at_is_left_alone_where_nothing_is_drawn(generating):
    for case in generating(temperature=0.0, top_k=3, top_p=0.5, min_p=0.1).values():
        assert "other_searches" not in case.requires and "lacking" not in case.notes
        assert case.notes["settings"]["top_k"] == 3


def test_without_an_end_no_case_forces_one(generating):
    cases = generating(eos_token_id=None)
    assert "generate.forced-eos" not in cases and "lacking" not in cases["generate.greedy"].notes


def test_a_setting_of_sampling_of_another_type_is_one_reason_and_nothing_else(generating):
    """Without sampling its range would have no effect, but a text is no number."""
    cases = generating(top_p="high")
    lacking = cases["generate.defaults"].notes["lacking"]["other_searches"]
    assert "top_p is 'high', not a finite number" in lacking


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hubert-bert", "the source is audio"),
        ("bert2bert", "the source has a vocabulary of 67, the text one of 59"),
    ],
)
def test_a_setting_of_the_sources_tokens_is_not_judged_where_the_text_has_others(tmp_path, name, why):
    copy = tmp_path / name
    shutil.copytree(CHECKPOINTS / name, copy)
    stored = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**stored, "encoder_repetition_penalty": 1.5}))
    checkpoint = inspect_checkpoint(copy)
    (found,) = checkpoint.generation["not_followed"].values()
    assert found.endswith(f"which depends on the tokens of the source, and {why}")
    cases = {case.name: case for case in standard_cases(checkpoint.model_spec, None, checkpoint.generation)}
    assert "other_searches" in cases["generate.defaults"].requires
    assert cases["generate.greedy"].settings["arguments"]["encoder_repetition_penalty"] == 1.0
