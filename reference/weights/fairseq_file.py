"""Reads a model file of fairseq: the weights of a BART or mBART, and the settings it was trained with.

The file is a pickle of a mapping with the keys ``model`` (a state dict), and ``args`` (an ``argparse.Namespace``) or
``cfg`` (nested mappings, or OmegaConf's objects). Nothing of it is executed: objects are read as data.
Source: fairseq 0.12, checkpoint_utils.py, ``save_checkpoint`` and ``load_checkpoint_to_cpu``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference.errors import CheckpointError
from reference.weights.stored import Opened, Stored
from reference.weights.torch_file import open_torch_content
from reference.weights.unpickle import Call

IGNORED = re.compile(r"(encoder|decoder)\.(version|embed_positions\._float_tensor)")
"""Entries that are no weights: the version of the module, and a buffer for sinusoids."""
DEEPEST = 8
"""The maximum depth of nested settings."""
_HEAD = re.compile(r"classification_heads\.[^.]+\.(dense|out_proj)\.(weight|bias)")


@dataclass(frozen=True)
class FairseqFile:
    """One model file.

    Attributes:
        opened: its tensors, under the names that transformers gives them in PyTorch files.
        names: by that name, fairseq's own.
        settings: plain values by name; those of nested groups are merged, the group ``model`` last.
        unknown: names of entries without a counterpart.
    """

    opened: Opened
    names: dict[str, str]
    settings: dict[str, Any]
    unknown: tuple[str, ...] = ()


def open_fairseq(path: Path) -> FairseqFile:
    """
    Raises:
        CheckpointError: truncated, garbage, or no mapping with a state dict ``model``.
    """
    content, index = open_torch_content(path)
    found = _mapping(content)
    if found is None or _mapping(found.get("model")) is None:
        raise CheckpointError(path, "no model file of fairseq: it has no state dict named model")
    opened, unknown = index(found["model"]), []
    names: dict[str, str] = {}
    tensors: dict[str, Stored] = {}
    for raw, stored in opened.tensors.items():
        if IGNORED.fullmatch(raw):
            continue
        name = canonical_spelling(raw)
        if name is None or name in tensors:
            unknown.append(raw)
            continue
        names[name], tensors[name] = raw, stored
    table = "model.encoder.embed_tokens.weight"
    if table in tensors and "model.shared.weight" not in tensors:
        tensors["model.shared.weight"] = tensors[table]
        names["model.shared.weight"] = names[table]
    settings = _settings(found.get("cfg"), 0) | _settings(found.get("args"), 0)
    return FairseqFile(Opened("torch", tensors), names, settings, tuple(unknown))


def canonical_spelling(raw: str) -> str | None:
    """The name of a parameter in a PyTorch file of transformers; None for a name of another architecture.

    >>> canonical_spelling("decoder.layers.0.encoder_attn.q_proj.weight")
    'model.decoder.layers.0.encoder_attn.q_proj.weight'
    >>> canonical_spelling("classification_heads.mnli.dense.bias")
    'classification_head.dense.bias'
    """
    if raw == "decoder.output_projection.weight":
        return "lm_head.weight"
    if head := _HEAD.fullmatch(raw):
        return f"classification_head.{head[1]}.{head[2]}"
    return f"model.{raw}" if raw.startswith(("encoder.", "decoder.")) else None


def _mapping(value: Any) -> Mapping[Any, Any] | None:
    """A dict, an OrderedDict, or the attributes of a namespace or of OmegaConf's mapping."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Call):
        return None
    if value.items:
        return value.items
    state = value.state
    if isinstance(state, tuple) and state:  # (attributes, slots)
        state = state[0]
    if isinstance(state, dict):
        inner = state.get("_content")
        return inner if isinstance(inner, dict) else state
    return value.items if value.function == "collections.OrderedDict" else None


def _settings(value: Any, depth: int) -> dict[str, Any]:
    """Plain values by name; ``model`` overrides other groups."""
    groups = _mapping(value)
    if groups is None or depth > DEEPEST:
        return {}
    found: dict[str, Any] = {}
    for name, each in sorted(groups.items(), key=lambda item: str(item[0]) == "model"):
        plain = _plain(each)
        if isinstance(plain, (bool, int, float, str)) or plain is None:
            if isinstance(name, str):
                found[name] = plain
        else:
            found |= _settings(each, depth + 1)
    return found


def _plain(value: Any) -> Any:
    """A value, or that of OmegaConf's node around it."""
    inner = _mapping(value) if isinstance(value, Call) else None
    return inner["_val"] if inner is not None and "_val" in inner else value
