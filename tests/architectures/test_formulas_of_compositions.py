"""Encoders before decoders of other families against the papers' formulas, joined as Rothe et al. 2020 say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from parity.tools.fuzz import architectures as draw
from reference.config.composed import EncoderDecoderConfig
from reference.names import table_of
from tests.architectures import formulas, formulas_of_speech
from tests.architectures.asked import BOTH, Target, assert_close, ragged

PAD = 1
ROWS, TARGET = [[5, 9, 3, 7, 4, 8, 6], [4, 6, 9, 5]], [2, 8, 5, 7, 3]
LAYERS, EPSILON = 1, 1e-6
BERT = {
    "vocab_size": 29,
    "hidden_size": 8,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 18,
    "max_position_embeddings": 13,
    "layer_norm_eps": EPSILON,
    "pad_token_id": PAD,
}
SPEECH = {
    "model_type": "wav2vec2",
    "hidden_size": 8,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 18,
    "conv_dim": [6, 4],
    "conv_kernel": [5, 3],
    "conv_stride": [3, 2],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "add_adapter": True,
    "num_adapter_layers": 1,
    "output_hidden_size": 10,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 31,
    "n_embd": 12,
    "n_layer": LAYERS,
    "n_head": 3,
    "n_positions": 17,
    "add_cross_attention": True,
}
BART = {
    "model_type": "bart",
    "vocab_size": 31,
    "d_model": 12,
    "decoder_layers": LAYERS,
    "decoder_ffn_dim": 20,
    "decoder_attention_heads": 3,
    "encoder_attention_heads": 3,
    "max_position_embeddings": 17,
}
Formula = Callable[[dict[str, np.ndarray], Any], np.ndarray]


def by_bert(w: dict[str, np.ndarray], row: list[int]) -> np.ndarray:
    return formulas.bert(w, "", row, list(range(len(row))), (LAYERS, 2, EPSILON))


def by_wav2vec2(w: dict[str, np.ndarray], audio: np.ndarray) -> np.ndarray:
    return formulas_of_speech.encoded(w, audio, formulas_of_speech.Speech((3, 2), LAYERS, 2, 2, True, False))


def by_gpt2(w: dict[str, np.ndarray], memory: np.ndarray) -> np.ndarray:
    return formulas.gpt2(w, TARGET, LAYERS, 3, memory)


def by_bart(w: dict[str, np.ndarray], memory: np.ndarray) -> np.ndarray:
    return formulas.bart_decoder(w, TARGET, 3, LAYERS, memory, False)


def by_bert_generation(w: dict[str, np.ndarray], memory: np.ndarray) -> np.ndarray:
    states = formulas.bert(w, "bert.", TARGET, list(range(len(TARGET))), (LAYERS, 2, EPSILON), memory, True)
    return states @ w["bert.embeddings.word_embeddings.weight"].T + w["lm_head.bias"]


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize(
    ("encoder", "decoder", "encoded", "decoded", "projects"),
    [
        ({"model_type": "bert", **BERT}, GPT2, by_bert, by_gpt2, True),
        (
            {"model_type": "bert", **BERT},
            {"model_type": "bert-generation", **BERT, "is_decoder": True, "add_cross_attention": True},
            by_bert,
            by_bert_generation,
            False,
        ),
        (SPEECH, BART, by_wav2vec2, by_bart, True),
    ],
    ids=["bert2gpt2", "bert2bert-generation", "wav2vec2bart"],
)
def test_the_decoder_looks_at_the_encoder_s_states_in_its_own_width(
    reference: str, encoder: dict[str, Any], decoder: dict[str, Any], encoded: Formula, decoded: Formula, projects: bool
) -> None:
    """A linear map between them where the widths differ, and none where they do not."""
    speech = encoder is SPEECH
    kind, model_class = (
        ("speech-encoder-decoder", "SpeechEncoderDecoderModel")
        if speech
        else ("encoder-decoder", "EncoderDecoderModel")
    )
    config = EncoderDecoderConfig.from_dict({"model_type": kind, "encoder": encoder, "decoder": decoder})
    weights = draw.weights(table_of(config, model_class), np.random.default_rng(0))
    assert ("enc_to_dec_proj.weight" in weights) == projects
    rows = np.random.default_rng(1).normal(size=(2, 61)) if speech else ROWS
    ids, mask = ragged(ROWS, PAD)
    given = {"input_values": rows} if speech else {"input_ids": ids, "attention_mask": mask}
    target = np.array([TARGET] * len(rows))
    found = Target.build(reference, config, model_class, weights)(**given, decoder_input_ids=target).logits
    for row, source in enumerate(rows):
        memory = encoded(formulas.inside(weights, "encoder."), source)
        if projects:
            memory = formulas.dense(weights)("enc_to_dec_proj", memory)
        assert_close(found[row], decoded(formulas.inside(weights, "decoder."), memory))
