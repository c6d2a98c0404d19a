"""Settings that the reference follows and no check judges: cases that they decide are skipped, with the reason."""

from __future__ import annotations

import json
import shutil

import pytest

from fixtures.make import CHECKPOINTS
from parity.checkpoint import inspect_checkpoint
from parity.standard import standard_cases


@pytest.fixture
def generating(tmp_path):
    """The generation cases of a checkpoint whose ``generation_config.json`` says these things too."""

    def cases(**stored):
        copy = tmp_path / "bart-copy"
        shutil.copytree(CHECKPOINTS / "bart-odd", copy)
        file = copy / "generation_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **stored}))
        checkpoint = inspect_checkpoint(copy)
        found = standard_cases(checkpoint.anatomy, None, checkpoint.generation)
        return {case.name: case for case in found if case.operation in ("generate", "generation_settings")}

    return cases


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"repetition_penalty": 1.2}, "repetition_penalty is 1.2"),
        ({"renormalize_logits": True}, "renormalize_logits is True"),
        ({"num_return_sequences": 2}, "num_return_sequences is 2"),
        ({"eos_token_id": [2, 5]}, "eos_token_id is [2, 5]"),
        ({"forced_eos_token_id": [2]}, "forced_eos_token_id is [2]"),
    ],
)
def test_no_text_is_asked_for_where_a_setting_is_not_judged(generating, stored, why):
    for case in generating(**stored).values():
        assert "other_searches" in case.requires
        assert case.notes["lacking"]["other_searches"].endswith(f"generation_config.json: {why}, which no check judges")


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ({"num_beams": 1}, "do_sample is True, which no check judges"),
        ({}, "do_sample with num_beams 4 is beam sampling, which the reference does not do"),
        ({"num_beams": 1, "temperature": 0.0}, "temperature is 0.0, and text is drawn at one above 0"),
        ({"num_beams": 1, "min_p": 0.1}, "min_p is 0.1, which the reference does not do"),
    ],
)
def test_where_text_is_drawn_only_cases_that_search_instead_are_asked(generating, stored, why):
    for name, case in generating(do_sample=True, **stored).items():
        without_arguments = not case.settings.get("arguments")
        assert ("other_searches" in case.requires) == without_arguments, name
        if without_arguments:
            assert case.notes["lacking"]["other_searches"].endswith(f"generation_config.json: {why}")
        else:
            assert case.settings["arguments"]["do_sample"] is False and not case.notes["settings"]["do_sample"]


def test_what_only_sampling_looks_at_is_left_alone_where_nothing_is_drawn(generating):
    for case in generating(temperature=0.0, top_k=3, top_p=0.5, min_p=0.1).values():
        assert "other_searches" not in case.requires and "lacking" not in case.notes
        assert case.notes["settings"]["top_k"] == 3
