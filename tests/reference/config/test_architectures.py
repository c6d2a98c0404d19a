"""What configs of the other families may say, and the one line they get where they say anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reference import composing
from reference.config import BertConfig, EncoderDecoderConfig, Gpt2Config, SpeechConfig, read_config
from reference.config.classes import CLASSES, class_of
from reference.errors import CheckpointError
from reference.names import table_of

BERT = {"model_type": "bert", "vocab_size": 31, "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 1}
DECODER = {**BERT, "is_decoder": True, "add_cross_attention": True}
BOTH = {"model_type": "encoder-decoder", "encoder": BERT, "decoder": DECODER}
SPEECH = {"model_type": "wav2vec2", "hidden_size": 16, "num_attention_heads": 4}
GPT2 = {"model_type": "gpt2", "n_embd": 12, "n_head": 3}


@pytest.mark.parametrize("model_type", CLASSES)
def test_every_family_is_read_by_its_model_type(model_type: str, tmp_path) -> None:
    data = {"model_type": model_type}
    if model_type == "speech-encoder-decoder":
        data |= {"encoder": SPEECH, "decoder": DECODER}
    elif model_type == "encoder-decoder":
        data |= BOTH
    (tmp_path / "config.json").write_text(json.dumps(data))
    config = read_config(tmp_path)
    assert config.model_type == model_type
    for name in CLASSES[model_type]:
        assert table_of(config, name).expected(), name


@pytest.mark.parametrize(
    ("reader", "data", "cause"),
    [
        (BertConfig, {**BERT, "model_type": "electra"}, "unknown model_type 'electra'; only 'bert' or 'roberta' or"),
        (BertConfig, {**BERT, "hidden_size": 13}, "num_attention_heads is 3, which does not divide hidden_size 13"),
        (BertConfig, {**BERT, "hidden_act": "mish"}, "unknown hidden_act 'mish'"),
        (BertConfig, {**BERT, "position_embedding_type": "relative_key"}, "only 'absolute' can be built"),
        (
            BertConfig,
            {**BERT, "model_type": "roberta", "pad_token_id": 31},
            "roberta numbers positions from its padding token on, and pad_token_id is 31 in it, outside the table",
        ),
        (BertConfig, [1], "contains an array, not a JSON object"),
        (Gpt2Config, {**GPT2, "n_head": 5}, "n_head is 5, which does not divide n_embd 12"),
        (Gpt2Config, {**GPT2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        (SpeechConfig, {**SPEECH, "conv_kernel": [3, 2]}, "conv_dim has 7, conv_kernel has 2, conv_stride has 7"),
        (SpeechConfig, {**SPEECH, "conv_stride": 3}, "conv_stride is 3, not a list of positive integers"),
        (
            SpeechConfig,
            {**SPEECH, "feat_extract_norm": "batch"},
            "feat_extract_norm is 'batch', not 'group' or 'layer'",
        ),
        (SpeechConfig, {**SPEECH, "adapter_attn_dim": 4}, "adapters inside the layers cannot be built"),
        (
            SpeechConfig,
            {**SPEECH, "model_type": "hubert", "add_adapter": True},
            "add_adapter is set, but hubert does not support it",
        ),
        (EncoderDecoderConfig, {**BOTH, "encoder": None}, "has no encoder to build from"),
        (EncoderDecoderConfig, {**BOTH, "encoder": GPT2}, "(encoder): unknown model_type 'gpt2'; only 'bert' or"),
        (EncoderDecoderConfig, {**BOTH, "decoder": BERT}, "the decoder has no cross-attention"),
        (
            EncoderDecoderConfig,
            {**BOTH, "decoder": {**DECODER, "hidden_size": 15, "cross_attention_hidden_size": 12}},
            "the encoder's width 12 is not the decoder's 15, and no projection is made",
        ),
        (EncoderDecoderConfig, {**BOTH, "tie_encoder_decoder": True}, "tied halves cannot be built"),
        (EncoderDecoderConfig, {**BOTH, "decoder_start_token_id": "31"}, "decoder_start_token_id is '31', not a token"),
    ],
)
def test_what_cannot_be_built_gets_one_line(reader: Any, data: Any, cause: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        reader.from_dict(data)
    assert cause in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("config.json")


def test_a_head_that_a_family_has_not_is_named() -> None:
    with pytest.raises(
        CheckpointError, match="model_type 'bert' has no BertForQuestionAnswering here; it has BertModel"
    ):
        class_of(BertConfig.from_dict(BERT), "BertForQuestionAnswering")


def test_a_composition_says_where_it_needs_a_projection() -> None:
    config = EncoderDecoderConfig.from_dict({**BOTH, "decoder": {**DECODER, "hidden_size": 15}})
    expected = table_of(config).expected()
    assert expected["enc_to_dec_proj.weight"].shape == (15, 12)
    assert not any(name.startswith("enc_to_dec") for name in table_of(EncoderDecoderConfig.from_dict(BOTH)).expected())


def test_frames_and_samples() -> None:
    config = SpeechConfig.from_dict({"model_type": "wav2vec2"})
    assert config.receptive_field == 400


def test_a_composition_is_never_written_over_another(tmp_path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="is not empty"):
        composing.save(tmp_path, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
