"""The parameters of BART, and their names in each file format.

Canonical names are those of the PyTorch state dict of ``BartForConditionalGeneration`` (transformers 4.57.6,
models/bart/modeling_bart.py), in the order of the forward pass. All other permitted entries of a file (prefixes,
duplicates of tied tables, leftovers of fairseq) are defined in this module only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reference.config import BartConfig
from reference.names.table import Parameter, Row, Table, linear, matrix

SHARED = "model.shared.weight"
HEAD = "lm_head.weight"
LOGITS_BIAS = "final_logits_bias"
POSITION_OFFSET = 2
"""Rows of a position table before position 0: fairseq counted positions from ``padding_idx + 1``, which was 2."""


def expected_parameters(config: BartConfig) -> dict[str, Parameter]:
    """Every canonical parameter of a BART with a language-model head, in forward data-flow order.

    ``lm_head.weight`` is a separate parameter only if the embeddings are not tied; the encoder, the decoder and
    ``model.shared`` always share one table (``tie_word_embeddings`` applies to the output head only).
    """
    found = {SHARED: Parameter((config.vocab_size, config.d_model), ("vocab", "d_model"))}
    for stack in ("encoder", "decoder"):
        found.update(_stack(config, stack))
    if not config.tie_word_embeddings:
        found[HEAD] = Parameter((config.vocab_size, config.d_model), ("vocab", "d_model"))
    found[LOGITS_BIAS] = Parameter((1, config.vocab_size), ("one", "vocab"))
    return found


def _stack(config: BartConfig, stack: str) -> Iterator[tuple[str, Parameter]]:
    """The parameters of the encoder or the decoder."""
    d_model, ffn = config.d_model, getattr(config, f"{stack}_ffn_dim")
    rows = config.max_position_embeddings + POSITION_OFFSET
    yield f"model.{stack}.embed_positions.weight", Parameter((rows, d_model), ("position", "d_model"))
    yield from _norm(f"model.{stack}.layernorm_embedding", d_model)
    attentions = ("self_attn", "encoder_attn") if stack == "decoder" else ("self_attn",)
    for index in range(getattr(config, f"{stack}_layers")):
        layer = f"model.{stack}.layers.{index}"
        for attention in attentions:
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                yield from _linear(f"{layer}.{attention}.{projection}", (d_model, d_model), ("d_model", "d_model"))
            yield from _norm(f"{layer}.{attention}_layer_norm", d_model)
        yield from _linear(f"{layer}.fc1", (ffn, d_model), ("ffn", "d_model"))
        yield from _linear(f"{layer}.fc2", (d_model, ffn), ("d_model", "ffn"))
        yield from _norm(f"{layer}.final_layer_norm", d_model)
    if config.PRE_NORM:
        yield from _norm(f"model.{stack}.layer_norm", d_model)


def _linear(name: str, shape: tuple[int, int], axes: tuple[str, str]) -> Iterator[tuple[str, Parameter]]:
    """Weight ``[out, in]`` and bias ``[out]``, as in ``torch.nn.Linear``."""
    yield f"{name}.weight", Parameter(shape, axes)
    yield f"{name}.bias", Parameter(shape[:1], axes[:1])


def _norm(name: str, width: int) -> Iterator[tuple[str, Parameter]]:
    yield f"{name}.weight", Parameter((width,), ("d_model",))
    yield f"{name}.bias", Parameter((width,), ("d_model",))


def tied_groups(config: BartConfig) -> list[list[str]]:
    """Names of the PyTorch modules that must share one array in memory; the canonical name is first."""
    group = [SHARED, "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    return [[*group, HEAD] if config.tie_word_embeddings else group]


def trainable(config: BartConfig) -> list[str]:
    """Canonical names of parameters with a gradient; ``final_logits_bias`` is a buffer in PyTorch."""
    return [name for name in expected_parameters(config) if name != LOGITS_BIAS]


def table(config: BartConfig, model_class: str) -> Table:
    """The table of any BART class; our models use BART's own parameter names."""
    if model_class.endswith("ForCausalLM"):
        return decoder_table(config, True)
    tied = {name: group[0] for group in tied_groups(config) for name in group[1:]}
    if model_class == "BartForConditionalGeneration":
        return Table(tuple(_rows(expected_parameters(config))), tied, "model.", ("*.version",))
    rows = [row for row in _rows(expected_parameters(config)) if row.name not in (HEAD, LOGITS_BIAS)]
    tied.pop(HEAD, None)
    if model_class == "BartForSequenceClassification":
        sizes = (config.num_labels, config.d_model)
        width, head = (config.d_model, config.d_model), "classification_head"
        rows += linear(f"{head}.dense", f"{head}.dense", width, ("d_model", "d_model"))
        rows += linear(f"{head}.out_proj", f"{head}.out_proj", sizes, ("labels", "d_model"))
    elif model_class == "BartForQuestionAnswering":
        rows += linear("qa_outputs", "qa_outputs", (2, config.d_model), ("ends", "d_model"))
    ignored = ("*.version", HEAD, LOGITS_BIAS, "classification_head.*", "qa_outputs.*")
    return Table(tuple(rows), tied, "model.", ignored)


def decoder_table(config: BartConfig, cross: bool) -> Table:
    """The decoder alone with a language-model head; ``cross``: with cross-attention."""
    tokens = "model.decoder.embed_tokens"
    vocab, axes = (config.vocab_size, config.d_model), ("vocab", "d_model")
    decoder_rows = [row for row in _rows(dict(_stack(config, "decoder"))) if cross or ".encoder_attn" not in row.name]
    rows = [
        *matrix("words", tokens, vocab, axes),
        *(replace(row, ours=row.ours.removeprefix("model.")) for row in decoder_rows),
    ]
    # In a checkpoint of the whole model, the shared table is ``model.shared``.
    tied = {SHARED: f"{tokens}.weight"}
    if config.tie_word_embeddings:
        tied[HEAD] = f"{tokens}.weight"
    else:
        rows += matrix("output", "lm_head", vocab, axes)
    ignored = ("*.version", "model.encoder.*", LOGITS_BIAS, *([] if cross else ["*.encoder_attn*"]))
    return Table(tuple(rows), tied, "model.", ignored)


def _rows(parameters: Mapping[str, Parameter]) -> Iterator[Row]:
    return (Row(name, name, parameter, buffer=name == LOGITS_BIAS) for name, parameter in parameters.items())
