"""The reference against the papers' formulas: a witness that shares neither code nor library with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import in_flax, in_torch
from reference.config import BartConfig, BertConfig, Config, Gpt2Config, MBartConfig, SpeechConfig
from reference.names import table_of
from tests.families import formulas

IDS, PAD = [5, 9, 1, 7, 4], 1
LAYERS, HEADS = 2, 3
WIDTH = 12
REFERENCES = {"torch": in_torch, "flax": in_flax}


def drawn(config: Config, model_class: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    expected = table_of(config, model_class).expected()
    return {
        name: rng.normal(1.0 if "orm.weight" in name or ".ln_" in name else 0.0, 0.3, parameter.shape)
        for name, parameter in expected.items()
    }


def bert_like(model_type: str, **others: Any) -> BertConfig:
    sizes = {"vocab_size": 31, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    data = {**sizes, "model_type": model_type, "intermediate_size": 20, "max_position_embeddings": 17}
    tokens = {"pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2}
    return BertConfig.from_dict({**data, **tokens, "hidden_act": "gelu", "layer_norm_eps": 1e-6, **others})


def answer(
    reference: str, config: Config, model_class: str, weights: dict[str, np.ndarray], how: str, *given: Any
) -> Any:
    package = REFERENCES[reference]
    model = package.build(config, weights, model_class=model_class, dtype="float64")
    arrays = package.as_inputs(model, {str(place): np.array([each]) for place, each in enumerate(given)}).values()
    found = getattr(model, how)(*arrays)
    array = found.logits if how == "decode" else found.last_hidden_state
    return np.asarray(array.detach() if hasattr(array, "detach") else array)[0]


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize(
    ("model_type", "model_class", "positions"),
    [
        ("bert", "BertModel", [0, 1, 2, 3, 4]),
        ("bert-generation", "BertGenerationEncoder", [0, 1, 2, 3, 4]),
        # Only tokens that are no padding are counted, from 1 + padding on; padding stays at its own number.
        ("roberta", "RobertaModel", [2, 3, 1, 4, 5]),
    ],
)
def test_encoders(reference: str, model_type: str, model_class: str, positions: list[int]) -> None:
    config = bert_like(model_type)
    weights = drawn(config, model_class)
    expected = formulas.bert(weights, "", IDS, positions, (LAYERS, HEADS, 1e-6))
    assert_close(answer(reference, config, model_class, weights, "encode", IDS), expected)


@pytest.mark.parametrize("reference", REFERENCES)
def test_bert_generation_decoder(reference: str) -> None:
    config = bert_like("bert-generation", is_decoder=True, add_cross_attention=True)
    weights = drawn(config, "BertGenerationDecoder")
    memory = np.random.default_rng(1).normal(size=(7, WIDTH))
    states = formulas.bert(weights, "bert.", IDS, [0, 1, 2, 3, 4], (LAYERS, HEADS, 1e-6), memory, True)
    expected = states @ weights["bert.embeddings.word_embeddings.weight"].T + weights["lm_head.bias"]
    assert_close(answer(reference, config, "BertGenerationDecoder", weights, "decode", IDS, memory), expected)


@pytest.mark.parametrize("reference", REFERENCES)
def test_gpt2(reference: str) -> None:
    sizes = {"vocab_size": 31, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 17, "n_inner": 20}
    config = Gpt2Config.from_dict({"model_type": "gpt2", **sizes, "add_cross_attention": True})
    weights = drawn(config, "GPT2LMHeadModel")
    memory = np.random.default_rng(1).normal(size=(7, WIDTH))
    expected = formulas.gpt2(weights, IDS, LAYERS, HEADS, memory)
    assert_close(answer(reference, config, "GPT2LMHeadModel", weights, "decode", IDS, memory), expected)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_bart_and_mbart_decoders(reference: str, family: str) -> None:
    reader = MBartConfig if family == "mbart" else BartConfig
    config = reader.from_dict({
        "model_type": family, "vocab_size": 31, "d_model": WIDTH, "decoder_layers": LAYERS, "decoder_ffn_dim": 20,
        "decoder_attention_heads": HEADS, "encoder_attention_heads": HEADS, "max_position_embeddings": 17,
    })  # fmt: skip
    model_class = {"bart": "BartForCausalLM", "mbart": "MBartForCausalLM"}[family]
    weights = drawn(config, model_class)
    memory = np.random.default_rng(1).normal(size=(7, WIDTH))
    expected = formulas.bart_decoder(weights, IDS, HEADS, LAYERS, memory, family == "mbart")
    assert_close(answer(reference, config, model_class, weights, "decode", IDS, memory), expected)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("kernel", [4, 5])
def test_wav2vec2(reference: str, kernel: int) -> None:
    strides = (3, 2)
    config = SpeechConfig.from_dict({
        "model_type": "wav2vec2", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "intermediate_size": 20, "conv_dim": [6, 8], "conv_kernel": [5, 3], "conv_stride": list(strides),
        "num_conv_pos_embeddings": kernel, "num_conv_pos_embedding_groups": 2,
    })  # fmt: skip
    weights = drawn(config, "Wav2Vec2Model")
    audio = np.random.default_rng(1).normal(size=61)
    expected = formulas.wav2vec2(weights, audio, strides, HEADS, LAYERS, 2)
    assert_close(answer(reference, config, "Wav2Vec2Model", weights, "encode", audio), expected)
