"""How checkpoints of 2020 said what ``generation_config.json`` says today, read as the library reads it."""

from __future__ import annotations

import json

import pytest

from reference.generation import GenerationSettings

FIELD = "force_bos_token_to_be_generated"
BART = {"model_type": "bart", "vocab_size": 29, "d_model": 16, "bos_token_id": 4}


def read(folder, config, generation=None):
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return GenerationSettings.read(folder)


@pytest.mark.parametrize(
    ("said", "forced"),
    [
        ({FIELD: True}, 4),
        ({FIELD: 1}, 4),
        ({FIELD: True, "forced_bos_token_id": None}, 4),
        ({FIELD: True, "forced_bos_token_id": 7}, 7),
        ({FIELD: True, "bos_token_id": None}, None),
        ({FIELD: False}, None),
        ({FIELD: None}, None),
        ({}, None),
        ({"task_specific_params": {"summarization": {"forced_bos_token_id": 4}}, "prefix": " "}, None),
    ],
)
def test_the_old_field_forces_the_begin_unless_one_is_given(tmp_path, said, forced):
    assert read(tmp_path, {**BART, **said}).forced_bos_token_id == forced


def test_beside_generation_config_json_it_says_nothing(tmp_path):
    assert read(tmp_path, {**BART, FIELD: True}, {"decoder_start_token_id": 2}).forced_bos_token_id is None


def test_mbart_never_read_it(tmp_path):
    assert read(tmp_path, {**BART, "model_type": "mbart", FIELD: True}).forced_bos_token_id is None


def test_a_composition_takes_it_of_its_decoder(tmp_path):
    bert = {"model_type": "bert", "vocab_size": 11, "hidden_size": 16, "num_attention_heads": 4}
    config = {"model_type": "encoder-decoder", "encoder": bert, "decoder": {**BART, FIELD: True}}
    assert read(tmp_path, config).forced_bos_token_id == 4


@pytest.mark.parametrize("said", [{FIELD: True}, {FIELD: 1, "forced_bos_token_id": 7}, {FIELD: False}])
def test_the_library_reads_it_so(tmp_path, said):
    transformers = pytest.importorskip("transformers")
    ours = read(tmp_path, {**BART, **said}).forced_bos_token_id
    config = transformers.BartConfig.from_pretrained(tmp_path)
    assert transformers.GenerationConfig.from_model_config(config).forced_bos_token_id == ours
