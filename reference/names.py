"""THE table of parameter names: what a BART holds, and what each file format calls it.

Canonical names are those of PyTorch's state dict of ``BartForConditionalGeneration`` (transformers 4.57.6,
models/bart/modeling_bart.py), in the order the forward pass meets them. Everything a file may rightly hold besides
(prefixes, duplicates of tied tables, leftovers of fairseq) is permitted here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from reference.config import BartConfig

Layout = Literal["torch", "flax", "tf"]
EntryRole = Literal["parameter", "tied", "buffer", "ignored"]

SHARED = "model.shared.weight"
HEAD = "lm_head.weight"
LOGITS_BIAS = "final_logits_bias"
POSITION_OFFSET = 2
"""Rows of a position table before position 0: fairseq counted positions from ``padding_idx + 1``, which was 2."""


@dataclass(frozen=True)
class Parameter:
    """One canonical parameter: its shape, and the words for its axes."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """What one name of a file stands for.

    ``parameter``: the canonical parameter ``name``. ``tied``: a permitted duplicate, which must equal ``name``.
    ``buffer``: as a parameter, but nothing that is trained (``final_logits_bias``). ``ignored``: a leftover that
    carries no weight (fairseq's ``version``).
    """

    name: str
    transposed: bool
    """Whether the file stores the transpose of the canonical array."""
    role: EntryRole


def expected_parameters(config: BartConfig) -> dict[str, Parameter]:
    """Every canonical parameter of a BART with a language-model head, in forward data-flow order.

    ``lm_head.weight`` is a parameter of its own only where the embeddings are not tied; the encoder, the decoder and
    ``model.shared`` are one table always (``tie_word_embeddings`` speaks of the output head alone).
    """
    table = {SHARED: Parameter((config.vocab_size, config.d_model), ("vocab", "d_model"))}
    for stack in ("encoder", "decoder"):
        table.update(_stack(config, stack))
    if not config.tie_word_embeddings:
        table[HEAD] = Parameter((config.vocab_size, config.d_model), ("vocab", "d_model"))
    table[LOGITS_BIAS] = Parameter((1, config.vocab_size), ("one", "vocab"))
    return table


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
