"""How each framework spells a parameter's name: from what a file or a model calls it to the canonical spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from reference.names.bart import LOGITS_BIAS, SHARED
from reference.names.table import Entry, Layout, Table


def entry_in(table: Table, raw: str, layout: Layout) -> Entry | None:
    """What ``raw``, a name in one framework's layout, stands for; None where the table's model has no such name."""
    spelled = SPELLINGS[layout](raw)
    if spelled is None:
        return None
    entry = table.entry(spelled[0])
    return None if entry is None else replace(entry, transposed=spelled[1] and entry.role != "ignored")


def from_torch(raw: str) -> tuple[str, bool] | None:
    """The canonical spelling is PyTorch's own."""
    return raw, False


def from_flax(raw: str) -> tuple[str, bool] | None:
    """Flax keeps a linear map as ``kernel`` ``[in, out]``, a table as ``embedding``, a norm's weight as ``scale``.

    A convolution's ``kernel`` is ``[kernel, in, out]``; its transpose too is PyTorch's. So is that of GPT-2's maps,
    which PyTorch keeps ``[in, out]`` and the Flax class ``[out, in]``. A path is joined by ``/``, and in safetensors by
    ``.`` (transformers 4.37.2 and 4.57.6, modeling_flax_utils.py, ``save_pretrained``).
    """
    *place, leaf = re.split("[/.]", raw.removeprefix("params/"))
    if not place:
        return (leaf, False) if leaf == LOGITS_BIAS else None
    if leaf not in _FLAX_LEAVES:
        return None
    return ".".join([*place, _FLAX_LEAVES[leaf]]), leaf == "kernel"


def from_tf(raw: str) -> tuple[str, bool] | None:
    """Keras names a variable by its scopes, an HDF5 file puts the name of a layer before that.

    As written by transformers 4.37.2 and 4.57.6: ``model/tf_bart_for_conditional_generation/model/encoder/layers.0/
    self_attn/k_proj/kernel:0`` (a second model made in one process gets ``…generation_1``), ``model/model.shared/
    model.shared/embeddings:0``, ``final_logits_bias/final_logits_bias:0``; in shards and in safetensors of format
    ``tf`` the outermost scope is left out: ``model/encoder/layers.0/…``, ``final_logits_bias:0``. Other families
    number their layers ``layer_._0`` and call BERT's head ``mlm___cls``. A composition's encoder is a bare model, in
    whose names PyTorch has nothing of the family: ``encoder/bert/embeddings/…`` is ``encoder.embeddings.…``.
    """
    *place, leaf = re.sub(r":\d+$", "", raw).split("/")
    if leaf == LOGITS_BIAS:
        return (LOGITS_BIAS, False) if set(place) <= {LOGITS_BIAS} or _TF_MODEL.match(place[0]) else None
    if leaf not in _TF_LEAVES:
        return None
    if place and place[-1] in ("model.shared", "shared"):
        return SHARED, False
    models = [index for index, scope in enumerate(place) if _TF_MODEL.match(scope)]
    scopes = place[models[-1] + 1 if models else 0 :]
    if scopes[:1] == ["encoder"] and scopes[1:2] and scopes[1] in _TF_BARE:
        del scopes[1]
    name = ".".join([*scopes, _TF_LEAVES[leaf]])
    return name.replace("_._", ".").replace("mlm___cls.", "cls."), leaf == "kernel"


_FLAX_LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}
_FLAX_LEAVES |= {
    name: name for name in ("weight_g", "weight_v", "masked_spec_embed")
}  # of wav2vec 2.0, laid as PyTorch's
_TF_MODEL = re.compile(r"tf_[a-z]+(_[a-z]+)*(_\d+)?$")
_TF_BARE = ("bert", "roberta")
"""Main layers of the families that TensorFlow has an encoder of, as they are called inside of a bare model."""
_TF_LEAVES = {"kernel": "weight", "gamma": "weight", "embeddings": "weight", "bias": "bias", "beta": "bias"}
_TF_LEAVES["weight"] = "weight"  # tables of BERT's family, GPT-2's maps, the shared table of older libraries

SPELLINGS: dict[Layout, Callable[[str], tuple[str, bool] | None]] = {
    "torch": from_torch,
    "flax": from_flax,
    "tf": from_tf,
}
"""By layout: the canonical spelling of a name, and whether the array is stored transposed; None: no parameter."""
