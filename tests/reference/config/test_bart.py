"""What ``config.json`` may say, and the one line it gets where it says anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.config import BartConfig
from reference.config.tokens import usable, why_unusable
from reference.errors import CheckpointError
from tests.profiles import examples

GOOD = {"model_type": "bart", "d_model": 24, "encoder_attention_heads": 3, "decoder_attention_heads": 4}


def test_documented_defaults():
    config = BartConfig.from_dict({"model_type": "bart"})
    assert (config.vocab_size, config.max_position_embeddings, config.d_model) == (50265, 1024, 1024)
    assert (config.encoder_layers, config.encoder_ffn_dim, config.encoder_attention_heads) == (12, 4096, 16)
    assert (config.decoder_layers, config.decoder_ffn_dim, config.decoder_attention_heads) == (12, 4096, 16)
    assert (config.activation_function, config.scale_embedding, config.tie_word_embeddings) == ("gelu", False, True)
    assert (config.bos_token_id, config.pad_token_id, config.eos_token_id) == (0, 1, 2)
    assert (config.decoder_start_token_id, config.forced_eos_token_id, config.forced_bos_token_id) == (2, 2, None)


def test_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers", reason="compares with the installed library's defaults")
    theirs, ours = transformers.BartConfig(), BartConfig.from_dict({"model_type": "bart"})
    names = [name for name in vars(ours) if name != "others" and not name.startswith("forced_")]
    assert len(names) == 23
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


def test_reads_a_file_and_keeps_what_it_does_not_know_aside(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**GOOD, "num_beams": 4, "scale_embedding": True}))
    config = BartConfig.read(tmp_path)
    assert config.d_model == 24 and config.scale_embedding
    assert config.others == {"model_type": "bart", "num_beams": 4}
    assert hash(config) == hash(BartConfig.from_dict({**GOOD, "scale_embedding": True}))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"model_type": "t5"}, "unknown model_type 't5'"),
        ({"model_type": None}, "unknown model_type None"),
        ({"encoder_attention_heads": 5}, "encoder_attention_heads is 5, which does not divide d_model 24"),
        ({"decoder_attention_heads": 7}, "decoder_attention_heads is 7, which does not divide d_model 24"),
        ({"vocab_size": 0}, "vocab_size is 0, not a positive integer"),
        ({"encoder_layers": -1}, "encoder_layers is -1, not a positive integer"),
        ({"d_model": 24.0}, "d_model is 24.0, not a positive integer"),
        ({"decoder_ffn_dim": True}, "decoder_ffn_dim is True, not a positive integer"),
        ({"max_position_embeddings": "33"}, "max_position_embeddings is '33', not a positive integer"),
        ({"activation_function": "swish7"}, "unknown activation_function 'swish7'"),
        ({"activation_function": ["gelu"]}, "unknown activation_function ['gelu']"),
        ({"scale_embedding": 1}, "scale_embedding is 1, not true or false"),
        ({"dropout": "much"}, "dropout is 'much', not a number of at least 0"),
        ({"pad_token_id": "1"}, "pad_token_id is '1', not a token id"),
        ({"eos_token_id": True}, "eos_token_id is True, not a token id"),
        ({"eos_token_id": [2, None]}, "eos_token_id is a list with values that are not ids, not a token id"),
        ({"decoder_start_token_id": 2**70}, "decoder_start_token_id is a number beyond 64 bits, not a token id"),
        ({"forced_eos_token_id": []}, "forced_eos_token_id is a list with values that are not ids, not a token id"),
    ],
)
def test_inconsistent_config_is_named(change, cause):
    with pytest.raises(CheckpointError) as error:
        BartConfig.from_dict({**GOOD, **change}, Path("some/config.json"))
    assert str(error.value).startswith(f"some/config.json: {cause}")
    assert "\n" not in str(error.value)


def test_absent_model_type_is_named():
    with pytest.raises(CheckpointError, match=r"^config\.json: has no model_type"):
        BartConfig.from_dict({"d_model": 24})


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not JSON: Expecting value at line 1, column 1"),
        (b'{"model_type": "bart",\n oops}', "at line 2, column 2"),
        (b"[1, 2]", "contains an array, not a JSON object"),
        (b"null", "contains null, not a JSON object"),
        (b'{"model_type": "\xff"}', "not UTF-8 text"),
        (b"[" * 100_000, "not JSON that can be read: nested deeper than 64 levels"),
    ],
)
def test_broken_file_is_named(tmp_path, content, cause):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        BartConfig.read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: ") and cause in str(error.value)


def test_missing_directory_and_missing_file_are_told_apart(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: no such directory$"):
        BartConfig.read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config\.json: no such file$"):
        BartConfig.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file: not a directory$"):
        BartConfig.read(tmp_path / "file")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@examples(200)
@given(st.dictionaries(st.sampled_from([name for name in vars(BartConfig()) if name != "others"]), json_values))
def test_any_values_give_a_config_or_one_line(values):
    try:
        config = BartConfig.from_dict({**GOOD, **values})
    except CheckpointError as error:
        assert "\n" not in str(error) and str(error).startswith("config.json: ")
    else:
        assert config.d_model % config.encoder_attention_heads == 0
        assert usable(config.pad_token_id, config.vocab_size) in (None, config.pad_token_id)


@pytest.mark.parametrize(
    ("value", "one", "why"),
    [
        (3, 3, ""),
        (0, 0, ""),
        (None, None, "has none"),
        (-1, None, "outside the table of 9 tokens (0 to 8)"),
        (9, None, "outside the table of 9"),
        ([3, 4], 3, "lists several"),
        ([99], None, "lists several"),
    ],
)
@pytest.mark.parametrize("name", ["pad_token_id", "eos_token_id", "decoder_start_token_id"])
def test_a_token_that_cannot_be_used_is_read_and_says_why(name, value, one, why):
    """A model is built without any of them; only what needs one is told that it is not there."""
    config = BartConfig.from_dict({**GOOD, "vocab_size": 9, name: value})
    held = getattr(config, name)
    assert (held, usable(held, 9)) == (tuple(value) if isinstance(value, list) else value, one)
    assert hash(config) == hash(BartConfig.from_dict({**GOOD, "vocab_size": 9, name: value}))
    told = why_unusable(name, held, 9)
    assert why in told and bool(told) == bool(why)
