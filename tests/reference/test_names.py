"""The table of parameter names, against the classes of the installed library and against names as files spell them."""

from __future__ import annotations

import pytest

from reference.config import BartConfig, config_of
from reference.names import Entry, entry_in, expected_parameters, table_of, tied_groups, trainable

SIZES = {
    "model_type": "bart",
    "vocab_size": 97,
    "max_position_embeddings": 33,
    "d_model": 24,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 20,
    "decoder_layers": 3,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 28,
}
TIED = BartConfig.from_dict(SIZES)
UNTIED = BartConfig.from_dict({**SIZES, "tie_word_embeddings": False})
FC1 = "model.encoder.layers.1.fc1"
WORDS = {"vocab": 97, "position": 35, "d_model": 24, "one": 1}


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
def test_names_and_shapes_are_those_of_the_pytorch_class(config):
    transformers = pytest.importorskip("transformers", reason="compares with the installed library's class")
    theirs = transformers.BartForConditionalGeneration(
        transformers.BartConfig(**SIZES, tie_word_embeddings=config.tie_word_embeddings)
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    duplicates = {name for group in tied_groups(config) for name in group[1:]}
    ours = expected_parameters(config)
    assert {name: p.shape for name, p in ours.items()} == {n: s for n, s in shapes.items() if n not in duplicates}
    assert set(trainable(config)) == {name for name, _ in theirs.named_parameters()} - duplicates


def test_axes_speak_of_the_shape():
    for name, parameter in expected_parameters(UNTIED).items():
        ffn = 20 if ".encoder." in name else 28
        assert parameter.shape == tuple({**WORDS, "ffn": ffn}[word] for word in parameter.axes), name


def test_order_is_that_of_the_forward_pass():
    names = list(expected_parameters(UNTIED))
    order = [
        "model.shared.weight",
        "model.encoder.embed_positions.weight",
        "model.encoder.layernorm_embedding.weight",
        "model.encoder.layers.0.self_attn.q_proj.weight",
        "model.encoder.layers.0.fc1.weight",
        "model.encoder.layers.1.self_attn.q_proj.weight",
        "model.encoder.layers.1.final_layer_norm.bias",
        "model.decoder.embed_positions.weight",
        "model.decoder.layers.0.self_attn_layer_norm.weight",
        "model.decoder.layers.0.encoder_attn.q_proj.weight",
        "model.decoder.layers.2.fc2.bias",
        "lm_head.weight",
        "final_logits_bias",
    ]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert names[0] == order[0] and names[-2:] == order[-2:]


@pytest.mark.parametrize(
    ("raw", "layout", "entry"),
    [
        (f"{FC1}.weight", "torch", Entry(f"{FC1}.weight", False, "parameter")),
        ("encoder.layers.1.fc1.weight", "torch", Entry(f"{FC1}.weight", False, "parameter")),
        ("final_logits_bias", "torch", Entry("final_logits_bias", False, "buffer")),
        ("model.decoder.embed_tokens.weight", "torch", Entry("model.shared.weight", False, "tied")),
        ("encoder.embed_tokens.weight", "torch", Entry("model.shared.weight", False, "tied")),
        ("lm_head.weight", "torch", Entry("model.shared.weight", False, "tied")),
        ("model.encoder.version", "torch", Entry("model.encoder.version", False, "ignored")),
        ("model/encoder/layers/1/fc1/kernel", "flax", Entry(f"{FC1}.weight", True, "parameter")),
        ("encoder/layers/1/fc1/bias", "flax", Entry(f"{FC1}.bias", False, "parameter")),
        ("model/shared/embedding", "flax", Entry("model.shared.weight", False, "parameter")),
        ("lm_head/kernel", "flax", Entry("model.shared.weight", True, "tied")),
        ("final_logits_bias", "flax", Entry("final_logits_bias", False, "buffer")),
        (
            "model/encoder/layernorm_embedding/scale",
            "flax",
            Entry("model.encoder.layernorm_embedding.weight", False, "parameter"),
        ),
        (
            "model/tf_bart_for_conditional_generation_1/model/encoder/layers.1/fc1/kernel:0",
            "tf",
            Entry(f"{FC1}.weight", True, "parameter"),
        ),
        (
            "tf_bart_for_conditional_generation/model/encoder/layers.1/fc1/bias:0",
            "tf",
            Entry(f"{FC1}.bias", False, "parameter"),
        ),
        ("model/encoder/layers.1/fc1/kernel:0", "tf", Entry(f"{FC1}.weight", True, "parameter")),
        ("model/model.shared/model.shared/embeddings:0", "tf", Entry("model.shared.weight", False, "parameter")),
        ("final_logits_bias/final_logits_bias:0", "tf", Entry("final_logits_bias", False, "buffer")),
    ],
)
def test_spellings(raw, layout, entry):
    assert entry_in(table_of(TIED), raw, layout) == entry


BERT = {"model_type": "bert", "vocab_size": 31, "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2}
GPT2 = {"model_type": "gpt2", "vocab_size": 29, "n_embd": 12, "n_head": 3, "n_layer": 2, "add_cross_attention": True}
OF_A_BERT = "bert.encoder.layer.1.attention.self.query"
OF_A_ROBERTA = "encoder.layer.0.output.LayerNorm"


@pytest.mark.parametrize(
    ("decoder", "raw", "entry"),
    [
        # A bare encoder has no prefix, a decoder with a head keeps its own.
        (
            BERT,
            "tf_encoder_decoder_model_2/encoder/bert/embeddings/position_embeddings/embeddings:0",
            Entry("encoder.embeddings.position_embeddings.weight", False, "parameter"),
        ),
        (
            BERT,
            "tf_encoder_decoder_model/encoder/bert/encoder/layer_._1/attention/self/query/kernel:0",
            Entry(f"encoder.{OF_A_BERT.removeprefix('bert.')}.weight", True, "parameter"),
        ),
        (
            BERT,
            "encoder/bert/encoder/layer_._1/attention/self/query/kernel:0",
            Entry(f"encoder.{OF_A_BERT.removeprefix('bert.')}.weight", True, "parameter"),
        ),
        (
            BERT,
            "tf_encoder_decoder_model/decoder/bert/encoder/layer_._1/attention/self/query/bias:0",
            Entry(f"decoder.{OF_A_BERT}.bias", False, "parameter"),
        ),
        (
            BERT,
            "tf_encoder_decoder_model/decoder/mlm___cls/predictions/transform/dense/kernel:0",
            Entry("decoder.cls.predictions.transform.dense.weight", True, "parameter"),
        ),
        (
            BERT,
            "tf_encoder_decoder_model/encoder/bert/pooler/dense/kernel:0",
            Entry("encoder.pooler.dense.weight", False, "ignored"),
        ),
        (
            {**BERT, "model_type": "roberta"},
            "tf_encoder_decoder_model/decoder/roberta/encoder/layer_._0/output/LayerNorm/gamma:0",
            Entry(f"decoder.roberta.{OF_A_ROBERTA}.weight", False, "parameter"),
        ),
        (
            GPT2,
            "tf_encoder_decoder_model_1/decoder/transformer/h_._1/crossattention/q_attn/weight:0",
            Entry("decoder.transformer.h.1.crossattention.q_attn.weight", False, "parameter"),
        ),
        (
            GPT2,
            "tf_encoder_decoder_model_1/decoder/transformer/wte/embeddings:0",
            Entry("decoder.transformer.wte.weight", False, "parameter"),
        ),
    ],
)
def test_spellings_of_a_composition_in_tensorflow(decoder, raw, entry):
    halves = {"encoder": BERT, "decoder": {**decoder, "is_decoder": True, "add_cross_attention": True}}
    assert entry_in(table_of(config_of({"model_type": "encoder-decoder", **halves})), raw, "tf") == entry


@pytest.mark.parametrize(
    ("raw", "layout"),
    [
        ("model.encoder.layers.2.fc1.weight", "torch"),  # a layer too many
        ("model.encoder.layers.0.encoder_attn.q_proj.weight", "torch"),  # the encoder has no cross-attention
        ("lm_head.bias", "torch"),
        ("", "torch"),
        ("model/encoder/layers/1/fc1/weight", "flax"),
        ("", "flax"),
        ("model/encoder/layers.1/fc1/moment:0", "tf"),
        ("elsewhere/final_logits_bias:0", "tf"),
        ("", "tf"),
    ],
)
def test_unknown_names_are_unknown(raw, layout):
    assert entry_in(table_of(TIED), raw, layout) is None


def test_an_untied_head_is_a_parameter():
    assert entry_in(table_of(UNTIED), "lm_head.weight", "torch") == Entry("lm_head.weight", False, "parameter")
    assert entry_in(table_of(UNTIED), "lm_head/kernel", "flax") == Entry("lm_head.weight", True, "parameter")
    assert tied_groups(UNTIED) == [tied_groups(TIED)[0][:3]]
