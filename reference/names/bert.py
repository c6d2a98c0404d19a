"""Parameter names of BERT, RoBERTa and bert-generation (transformers 4.57.6, models/*/modeling_*.py)."""

from __future__ import annotations

from collections.abc import Iterator

from reference.config import BertConfig
from reference.names.table import Parameter, Row, Table, linear, matrix, norm, stack

LAYER = {
    **{
        f"self_attn.{ours}": f"attention.{theirs}"
        for ours, theirs in (
            ("q_proj", "self.query"),
            ("k_proj", "self.key"),
            ("v_proj", "self.value"),
            ("out_proj", "output.dense"),
        )
    },
    "self_attn_layer_norm": "attention.output.LayerNorm",
    **{
        f"encoder_attn.{ours}": f"crossattention.{theirs}"
        for ours, theirs in (
            ("q_proj", "self.query"),
            ("k_proj", "self.key"),
            ("v_proj", "self.value"),
            ("out_proj", "output.dense"),
        )
    },
    "encoder_attn_layer_norm": "crossattention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
PREFIX = {"bert": "bert.", "roberta": "roberta.", "bert-generation": "bert."}
"""The prefix of the bare model's names in a class with a head."""

_OLD = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))
"""Names of a normalisation's scale and shift in the first BERT files."""
_IGNORED = ("*position_ids", "*token_type_ids", "*pooler.*", "*seq_relationship.*")


def encoder_table(config: BertConfig) -> Table:
    """The bare model as an encoder, without the pooler, whose output no decoder uses."""
    rows = (*_embeddings(config, ""), *stack(config.stack(), "stack.layers", "encoder.layer", LAYER))
    return Table(rows, {}, PREFIX[config.model_type], (*_IGNORED, "cls.*", "lm_head.*", "classifier.*"), _OLD)


def decoder_table(config: BertConfig, cross: bool) -> Table:
    """The model with the language-model head; ``cross``: with cross-attention."""
    prefix = PREFIX[config.model_type]
    layers = stack(config.stack(cross), "stack.layers", f"{prefix}encoder.layer", LAYER)
    rows = (*_embeddings(config, prefix), *layers, *_head(config))
    output = "cls.predictions." if config.model_type == "bert" else "lm_head."
    tied = {f"{output}decoder.bias": f"{output}bias"}
    if config.tie_word_embeddings:
        tied[f"{output}decoder.weight"] = f"{prefix}embeddings.word_embeddings.weight"
    return Table(rows, tied, prefix, _IGNORED, _OLD)


def _embeddings(config: BertConfig, prefix: str) -> Iterator[Row]:
    width, name = config.hidden_size, f"{prefix}embeddings"
    tables = [
        ("words", "word", config.vocab_size, "vocab"),
        ("positions", "position", config.max_position_embeddings, "position"),
        ("types", "token_type", config.type_vocab_size, "type"),
    ]
    for ours, theirs, size, axis in tables:
        if size:
            yield from matrix(f"embeddings.{ours}", f"{name}.{theirs}_embeddings", (size, width), (axis, "d_model"))
    yield from norm("embeddings.norm", f"{name}.LayerNorm", width)


def _head(config: BertConfig) -> Iterator[Row]:
    """The head; BERT and RoBERTa have an additional transformation of the states, bert-generation has none."""
    width, vocab = config.hidden_size, config.vocab_size
    transform = {
        "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
        "roberta": ("lm_head.dense", "lm_head.layer_norm"),
    }.get(config.model_type)
    output = "cls.predictions" if config.model_type == "bert" else "lm_head"
    if transform:
        yield from linear("head.dense", transform[0], (width, width), ("d_model", "d_model"))
        yield from norm("head.norm", transform[1], width)
    if not config.tie_word_embeddings:
        yield from matrix("head.output", f"{output}.decoder", (vocab, width), ("vocab", "d_model"))
    yield Row("head.bias", f"{output}.bias", Parameter((vocab,), ("vocab",)))
