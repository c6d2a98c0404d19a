"""The reference against the papers' formulas: a witness that shares neither code nor library with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.tools.fuzz import architectures as draw
from reference.config import BartConfig, BertConfig, Config, Gpt2Config, MBartConfig
from reference.names import table_of
from tests.architectures import formulas
from tests.architectures.asked import BOTH, Target, assert_close

IDS, PAD = [5, 9, 1, 7, 4], 1
LAYERS, HEADS = 2, 3
WIDTH, EPSILON = 12, 1e-6
POSITIONS = {
    "bert": [0, 1, 2, 3, 4],
    "bert-generation": [0, 1, 2, 3, 4],
    # Only tokens that are no padding are counted, from 1 + padding on; padding stays at its own number.
    "roberta": [2, 3, 1, 4, 5],
}


def drawn(config: Config, model_class: str) -> dict[str, np.ndarray]:
    return draw.weights(table_of(config, model_class), np.random.default_rng(0))


def memory() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(7, WIDTH))


def bert_like(model_type: str, **others: Any) -> BertConfig:
    sizes = {"vocab_size": 31, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    data = {**sizes, "model_type": model_type, "intermediate_size": 20, "max_position_embeddings": 17}
    tokens = {"pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2}
    return BertConfig.from_dict({**data, **tokens, "hidden_act": "gelu", "layer_norm_eps": EPSILON, **others})


def decoded(reference: str, config: Config, model_class: str, weights: dict[str, np.ndarray]) -> Any:
    """The logits of the one row there is."""
    return Target.build(reference, config, model_class, weights)("decode", [IDS], [memory()]).logits[0]


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize(
    ("model_type", "model_class"),
    [("bert", "BertModel"), ("bert-generation", "BertGenerationEncoder"), ("roberta", "RobertaModel")],
)
def test_encoders(reference: str, model_type: str, model_class: str) -> None:
    config = bert_like(model_type)
    weights = drawn(config, model_class)
    expected = formulas.bert(weights, "", IDS, POSITIONS[model_type], (LAYERS, HEADS, EPSILON))
    assert_close(Target.build(reference, config, model_class, weights)("encode", [IDS]).last_hidden_state[0], expected)


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize(
    ("model_type", "model_class", "prefix", "head"),
    [
        (
            "bert",
            "BertLMHeadModel",
            "bert.",
            ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),
        ),
        ("roberta", "RobertaForCausalLM", "roberta.", ("lm_head.dense", "lm_head.layer_norm", "lm_head")),
        ("bert-generation", "BertGenerationDecoder", "bert.", None),
    ],
)
def test_bert_like_decoders(reference: str, model_type: str, model_class: str, prefix: str, head: Any) -> None:
    config = bert_like(model_type, is_decoder=True, add_cross_attention=True)
    weights, sizes = drawn(config, model_class), (LAYERS, HEADS, EPSILON)
    states = formulas.bert(weights, prefix, IDS, POSITIONS[model_type], sizes, memory(), True)
    table = weights[f"{prefix}embeddings.word_embeddings.weight"]
    expected = states @ table.T + weights["lm_head.bias"] if head is None else None
    if head is not None:
        expected = formulas.bert_logits(weights, head, states, table, EPSILON)
    assert_close(decoded(reference, config, model_class, weights), expected)


@pytest.mark.parametrize("reference", BOTH)
def test_gpt2(reference: str) -> None:
    sizes = {"vocab_size": 31, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 17, "n_inner": 20}
    config = Gpt2Config.from_dict({"model_type": "gpt2", **sizes, "add_cross_attention": True})
    weights = drawn(config, "GPT2LMHeadModel")
    expected = formulas.gpt2(weights, IDS, LAYERS, HEADS, memory())
    assert_close(decoded(reference, config, "GPT2LMHeadModel", weights), expected)


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize("family", ["bart", "mbart"])
def test_bart_and_mbart_decoders(reference: str, family: str) -> None:
    reader = MBartConfig if family == "mbart" else BartConfig
    config = reader.from_dict(
        {
            "model_type": family,
            "vocab_size": 31,
            "d_model": WIDTH,
            "decoder_layers": LAYERS,
            "decoder_ffn_dim": 20,
            "decoder_attention_heads": HEADS,
            "encoder_attention_heads": HEADS,
            "max_position_embeddings": 17,
        }
    )
    model_class = {"bart": "BartForCausalLM", "mbart": "MBartForCausalLM"}[family]
    weights = drawn(config, model_class)
    expected = formulas.bart_decoder(weights, IDS, HEADS, LAYERS, memory(), family == "mbart")
    assert_close(decoded(reference, config, model_class, weights), expected)
