"""Conversion of parameter names from the layout of each framework to the canonical names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from reference.names.bart import LOGITS_BIAS, SHARED
from reference.names.table import Entry, Layout, Table


def entry_in(table: Table, raw: str, layout: Layout) -> Entry | None:
    """The entry of ``raw``, a name in one framework's layout; None if the model has no such name."""
    spelled = SPELLINGS[layout](raw)
    if spelled is None:
        return None
    entry = table.entry(spelled[0])
    return None if entry is None else replace(entry, transposed=spelled[1] and entry.role != "ignored")


def from_torch(raw: str) -> tuple[str, bool] | None:
    """PyTorch names are the canonical names."""
    return raw, False


def from_flax(raw: str) -> tuple[str, bool] | None:
    """Flax names a linear weight ``kernel`` ``[in, out]``, a table ``embedding``, and a norm's weight ``scale``.

    A convolution's ``kernel`` is ``[kernel, in, out]``, the transpose of PyTorch's. GPT-2's linear weights are
    transposed
    too: PyTorch stores them ``[in, out]`` and the Flax class ``[out, in]``. Path components are joined by ``/``, in
    safetensors by ``.`` (transformers 4.37.2 and 4.57.6, modeling_flax_utils.py, ``save_pretrained``).
    """
    *scope_path, leaf = re.split("[/.]", raw.removeprefix("params/"))
    if not scope_path:
        return (leaf, False) if leaf == LOGITS_BIAS else None
    if leaf not in _FLAX_LEAVES:
        return None
    return ".".join([*scope_path, _FLAX_LEAVES[leaf]]), leaf == "kernel"


def from_tf(raw: str) -> tuple[str, bool] | None:
    """Keras names a variable by its scopes; in an HDF5 file the name of a layer precedes them.

    As written by transformers 4.37.2 and 4.57.6: ``model/tf_bart_for_conditional_generation/model/encoder/layers.0/
    self_attn/k_proj/kernel:0`` (for a second model in one process ``…generation_1``), ``model/model.shared/
    model.shared/embeddings:0``, ``final_logits_bias/final_logits_bias:0``; in shards and in safetensors of format
    ``tf`` the outermost scope is omitted: ``model/encoder/layers.0/…``, ``final_logits_bias:0``. Other architectures
    number their layers ``layer_._0`` and name BERT's head ``mlm___cls``. A composition's encoder is a bare model, whose
    PyTorch names omit the architecture: ``encoder/bert/embeddings/…`` is ``encoder.embeddings.…``.
    """
    *scope_path, leaf = re.sub(r":\d+$", "", raw).split("/")
    if leaf == LOGITS_BIAS:
        return (LOGITS_BIAS, False) if set(scope_path) <= {LOGITS_BIAS} or _TF_MODEL.match(scope_path[0]) else None
    if leaf not in _TF_LEAVES:
        return None
    if scope_path and scope_path[-1] in ("model.shared", "shared"):
        return SHARED, False
    models = [index for index, scope in enumerate(scope_path) if _TF_MODEL.match(scope)]
    scopes = scope_path[models[-1] + 1 if models else 0 :]
    if scopes[:1] == ["encoder"] and scopes[1:2] and scopes[1] in _TF_BARE:
        del scopes[1]
    name = ".".join([*scopes, _TF_LEAVES[leaf]])
    return name.replace("_._", ".").replace("mlm___cls.", "cls."), leaf == "kernel"


_FLAX_LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}
_FLAX_LEAVES |= {
    name: name for name in ("weight_g", "weight_v", "masked_spec_embed")
}  # of wav2vec 2.0, in PyTorch's layout
_TF_MODEL = re.compile(r"tf_[a-z]+(_[a-z]+)*(_\d+)?$")
_TF_BARE = ("bert", "roberta")
"""Names of the main layer of a bare model, for architectures with an encoder in TensorFlow."""
_TF_LEAVES = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "bias": "bias", "beta": "bias"}
_TF_LEAVES["weight"] = "weight"  # BERT's tables, GPT-2's linear weights, the shared table of older versions

SPELLINGS: dict[Layout, Callable[[str], tuple[str, bool] | None]] = {
    "torch": from_torch,
    "flax": from_flax,
    "tf": from_tf,
}
"""By layout: the canonical name, and whether the array is stored transposed; None if it is not a parameter."""
