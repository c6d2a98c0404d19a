"""What a BART holds, and what each file format calls it.

Canonical names are those of PyTorch's state dict of ``BartForConditionalGeneration`` (transformers 4.57.6,
models/bart/modeling_bart.py), in the order the forward pass meets them. Everything a file may rightly hold besides
(prefixes, duplicates of tied tables, leftovers of fairseq) is permitted here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from reference.config import BartConfig
from reference.names.table import Entry, Layout, Parameter, Row, Table, linear, matrix

SHARED = "model.shared.weight"
HEAD = "lm_head.weight"
LOGITS_BIAS = "final_logits_bias"
POSITION_OFFSET = 2
"""Rows of a position table before position 0: fairseq counted positions from ``padding_idx + 1``, which was 2."""


def expected_parameters(config: BartConfig) -> dict[str, Parameter]:
    """Every canonical parameter of a BART with a language-model head, in forward data-flow order.

    ``lm_head.weight`` is a parameter of its own only where the embeddings are not tied; the encoder, the decoder and
    ``model.shared`` are one table always (``tie_word_embeddings`` speaks of the output head alone).
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
    """Weight ``[out, in]`` and bias ``[out]``, as ``torch.nn.Linear`` keeps them."""
    yield f"{name}.weight", Parameter(shape, axes)
    yield f"{name}.bias", Parameter(shape[:1], axes[:1])


def _norm(name: str, width: int) -> Iterator[tuple[str, Parameter]]:
    yield f"{name}.weight", Parameter((width,), ("d_model",))
    yield f"{name}.bias", Parameter((width,), ("d_model",))


def tied_groups(config: BartConfig) -> list[list[str]]:
    """Names that must be one table in memory, as PyTorch's modules expose them; the canonical name stands first."""
    group = [SHARED, "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"]
    return [[*group, HEAD] if config.tie_word_embeddings else group]


def trainable(config: BartConfig) -> list[str]:
    """Canonical names a gradient is taken by; ``final_logits_bias`` is a buffer in PyTorch, so it is not one."""
    return [name for name in expected_parameters(config) if name != LOGITS_BIAS]


def canonical(raw: str, layout: Layout, config: BartConfig) -> Entry | None:
    """What a name found in a file stands for; None where no BART has such a name.

    Args:
        raw: as the file spells it. ``torch``: ``model.encoder.layers.0.fc1.weight``, or without ``model.`` in a file
            saved from the bare ``BartModel``. ``flax``: the path joined by ``/``. ``tf``: a variable's name.
    """
    spelled = _SPELLINGS[layout](raw)
    if spelled is None:
        return None
    name, transposed = spelled
    name = _with_prefix(name)
    if name in ("model.encoder.version", "model.decoder.version"):
        return Entry(name, False, "ignored")
    for group in tied_groups(config):
        if name in group[1:]:
            return Entry(group[0], transposed, "tied")
    if name not in _expected_names(config):
        return None
    return Entry(name, transposed, "buffer" if name == LOGITS_BIAS else "parameter")


def is_bare(raw: str, layout: Layout) -> bool:
    """Whether a file with this name in it was saved from the bare ``BartModel``, which has no head.

    PyTorch and Flax then leave out ``model.``; TF names the outermost scope after the class. A TF file split into
    shards keeps no such scope, so there a bare model cannot be told from one that lost its head.
    """
    if layout == "tf":
        return re.search(r"(^|/)tf_bart_model(_\d+)?/", raw) is not None
    return raw.removeprefix("params/").startswith(_STACKS)


_STACKS = ("shared.", "encoder.", "decoder.", "shared/", "encoder/", "decoder/")


def _with_prefix(name: str) -> str:
    """Puts ``model.`` before a bare model's names."""
    return f"model.{name}" if name.startswith(_STACKS[:3]) else name


@lru_cache(maxsize=64)
def _expected_names(config: BartConfig) -> frozenset[str]:
    return frozenset(expected_parameters(config))


def _from_torch(raw: str) -> tuple[str, bool] | None:
    return raw, False


def _from_flax(raw: str) -> tuple[str, bool] | None:
    """Flax keeps a linear map as ``kernel`` ``[in, out]``, a table as ``embedding``, a norm's weight as ``scale``."""
    *place, leaf = raw.removeprefix("params/").split("/")
    if not place:
        return (leaf, False) if leaf == LOGITS_BIAS else None
    if leaf not in ("kernel", "embedding", "scale", "bias"):
        return None
    word = "bias" if leaf == "bias" else "weight"
    return ".".join([*place, word]), leaf == "kernel"


def _from_tf(raw: str) -> tuple[str, bool] | None:
    """Keras names a variable by its scopes, an HDF5 file puts the name of a layer before that.

    As written by transformers 4.37.2 and 4.57.6: ``model/tf_bart_for_conditional_generation/model/encoder/layers.0/
    self_attn/k_proj/kernel:0`` (a second model made in one process gets ``…generation_1``), ``model/model.shared/
    model.shared/embeddings:0``, ``final_logits_bias/final_logits_bias:0``; in shards and in safetensors of format
    ``tf`` the outermost scope is left out: ``model/encoder/layers.0/…``, ``final_logits_bias:0``.
    """
    *place, leaf = re.sub(r":\d+$", "", raw).split("/")
    if leaf == LOGITS_BIAS:
        return (LOGITS_BIAS, False) if set(place) <= {LOGITS_BIAS} or _TF_MODEL.match(place[0]) else None
    if leaf not in _TF_LEAVES:
        return None
    if place and place[-1] in ("model.shared", "shared"):
        return SHARED, False
    models = [index for index, scope in enumerate(place) if _TF_MODEL.match(scope)]
    name = ".".join([*place[models[-1] + 1 if models else 0 :], _TF_LEAVES[leaf]])
    return name, leaf == "kernel"


_TF_MODEL = re.compile(r"tf_bart(_[a-z]+)*(_\d+)?$")
_TF_LEAVES = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "bias": "bias", "beta": "bias"}
_TF_LEAVES["weight"] = "weight"  # the shared table of libraries older than those above


_SPELLINGS = {"torch": _from_torch, "flax": _from_flax, "tf": _from_tf}


def table(config: BartConfig, model_class: str) -> Table:
    """The table of any class of the family, in our models' words: they are BART's own."""
    if model_class.endswith("ForCausalLM"):
        return decoder_table(config, True)
    rows = [row for row in _rows(expected_parameters(config)) if row.name not in (HEAD, LOGITS_BIAS)]
    tied = {name: group[0] for group in tied_groups(config) for name in group[1:] if name != HEAD}
    if model_class == "BartForConditionalGeneration":
        rows = list(_rows(expected_parameters(config)))
        tied = {name: group[0] for group in tied_groups(config) for name in group[1:]}
    elif model_class == "BartForSequenceClassification":
        sizes = (config.num_labels, config.d_model)
        width, head = (config.d_model, config.d_model), "classification_head"
        rows += linear(f"{head}.dense", f"{head}.dense", width, ("d_model", "d_model"))
        rows += linear(f"{head}.out_proj", f"{head}.out_proj", sizes, ("labels", "d_model"))
    elif model_class == "BartForQuestionAnswering":
        rows += linear("qa_outputs", "qa_outputs", (2, config.d_model), ("ends", "d_model"))
    ignored = ("*.version", HEAD, LOGITS_BIAS, "classification_head.*", "qa_outputs.*")
    return Table(tuple(rows), tied, "model.", ignored)


def decoder_table(config: BartConfig, cross: bool) -> Table:
    """The decoder alone with a language-model head; ``cross``: with attention to an encoder."""
    tokens = "model.decoder.embed_tokens"
    vocab, axes = (config.vocab_size, config.d_model), ("vocab", "d_model")
    kept = [row for row in _rows(dict(_stack(config, "decoder"))) if cross or ".encoder_attn" not in row.name]
    rows = [
        *matrix("words", tokens, vocab, axes),
        *(replace(row, ours=row.ours.removeprefix("model.")) for row in kept),
    ]
    # A checkpoint of the whole model holds the one table as ``model.shared``.
    tied = {SHARED: f"{tokens}.weight"}
    if config.tie_word_embeddings:
        tied[HEAD] = f"{tokens}.weight"
    else:
        rows += matrix("output", "lm_head", vocab, axes)
    ignored = ("*.version", "model.encoder.*", LOGITS_BIAS, *([] if cross else ["*.encoder_attn*"]))
    return Table(tuple(rows), tied, "model.", ignored)


def _rows(parameters: Mapping[str, Parameter]) -> Iterator[Row]:
    return (Row(name, name, parameter, buffer=name == LOGITS_BIAS) for name, parameter in parameters.items())
