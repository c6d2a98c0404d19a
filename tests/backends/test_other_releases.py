"""Files that other releases saved, read by the installed one: settings and text, or the divergence by its name.

Each divergence here changes texts without a word and is stated so that the day it ends is seen.
"""

from __future__ import annotations

import pytest

from reference.generation import GenerationSettings
from tests.backends.samples import CHECKPOINT, CONFIG, SAVED, Answers
from tests.backends.subjects import only

DOCUMENTED = GenerationSettings.read(CHECKPOINT).to_dict()


def in_force(given: Answers, version: str) -> dict[str, object]:
    return GenerationSettings.from_dict(given.outputs[f"saved {version}"]).to_dict()


@pytest.mark.parametrize("version", SAVED[:3])
@only("reference-torch", "reference-flax", "hf-torch", "hf-flax")
def test_generation_config_is_what_is_in_force(captured: tuple[str, Answers], version: str) -> None:
    assert in_force(captured[1], version) == DOCUMENTED


@only("reference-torch", "reference-flax", "hf-torch")
def test_generation_config_that_came_from_config_is_too(captured: tuple[str, Answers]) -> None:
    assert in_force(captured[1], SAVED[3]) == DOCUMENTED


@pytest.mark.parametrize("version", SAVED)
@only("reference-torch", "reference-flax", "hf-torch")
def test_and_what_generates(captured: tuple[str, Answers], version: str) -> None:
    assert captured[1].outputs[f"text saved {version}"] == captured[1].outputs["text defaults"]


@only("hf-tf")
def test_tf_does_not_read_generation_config_when_it_converts(captured: tuple[str, Answers]) -> None:
    """transformers 4.57.6, modeling_tf_utils.py, ``from_pretrained``: ``from_pt`` returns before it is read."""
    _, given = captured
    assert in_force(given, "4.37.2") == DOCUMENTED, "config.json of that release still has the settings"
    for version in ("5.23.0", "5.23.0-from-config"):
        held = in_force(given, version)
        assert (held["num_beams"], held["max_length"], held["forced_bos_token_id"]) == (1, 20, None)
        assert CONFIG["forced_bos_token_id"] not in [
            row[1] for row in given.outputs[f"text saved {version}"]["sequences"]
        ]


@only("hf-tf")
def test_tf_stumbles_over_the_nulls_that_its_own_release_saves(captured: tuple[str, Answers]) -> None:
    """transformers 4.57.6, modeling_utils.py, ``save_pretrained``: moved settings stay in config.json as null."""
    outputs = captured[1].outputs
    assert outputs["saved 4.57.6"]["early_stopping"] is None
    assert (
        outputs["text saved 4.57.6"]["raised"] == "ValueError"
        and "early_stopping" in outputs["text saved 4.57.6"]["message"]
    )


@only("hf-flax")
def test_flax_drops_what_it_holds_where_the_file_says_it_came_from_config(captured: tuple[str, Answers]) -> None:
    """transformers 4.57.6, generation/flax_utils.py, ``generate``: ``_from_model_config`` counts as "not modified"."""
    outputs = captured[1].outputs
    rows = outputs["text saved 5.23.0-from-config"]["sequences"]
    held = in_force(captured[1], "5.23.0-from-config")
    assert (held["num_beams"], held["max_length"], held["forced_bos_token_id"]) == (1, 20, None)
    assert "sequences_scores" not in outputs["text saved 5.23.0-from-config"]
    assert CONFIG["forced_bos_token_id"] not in [row[1] for row in rows]
    for version in SAVED[:3]:
        assert outputs[f"text saved {version}"]["raised"] == "NotImplementedError", (
            "the n-gram ban it was told, refused"
        )
