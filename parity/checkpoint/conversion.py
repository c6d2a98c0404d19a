"""Which frameworks the weight files of a directory were written for, and by which flag another one loads them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open


def stored_for(checkpoint: Path) -> set[str]:
    """Which frameworks the weight files of a directory were written for: ``pt``, ``tf``, ``flax``.

    A safetensors file says in its metadata's ``format`` who wrote it (transformers, ``save_pretrained``); one that
    says nothing, or cannot be read, counts as PyTorch's, as the library's own default does.
    """
    names = {"pt": "pytorch_model.bin", "tf": "tf_model.h5", "flax": "flax_model.msgpack"}
    # Names that a library looks for, and no others: what else lies there changes no route.
    found = {kind for kind, name in names.items() if any((checkpoint / each).is_file() for each in _with_index(name))}
    whole, index = (checkpoint / name for name in _with_index("model.safetensors"))
    path = whole if whole.is_file() or not index.is_file() else checkpoint / _first_shard(index)
    if path.is_file():
        try:
            with safe_open(path, framework="numpy") as file:
                found.add((file.metadata() or {}).get("format", "pt"))
        except (SafetensorError, OSError):
            found.add("pt")
    return found


def _with_index(name: str) -> tuple[str, str]:
    return name, f"{name}.index.json"


def _first_shard(index: Path) -> str:
    """The first name of a shard that an index gives; the index's own, which no reader takes for weights, if none."""
    try:
        mapping = json.loads(index.read_bytes())["weight_map"]
        return min(name for name in mapping.values() if isinstance(name, str))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return index.name


def flags_needed(checkpoint: Path, own: str, others: Iterable[str]) -> dict[str, bool]:
    """The conversion flag a user must pass: none where the directory holds the framework's own files.

    Args:
        own: the framework's key of ``stored_for``.
        others: keys the class has a ``from_…`` flag for, in the order of preference.
    """
    return flags_for(stored_for(checkpoint), own, others)


def flags_for(stored: Collection[str], own: str, others: Iterable[str]) -> dict[str, bool]:
    """As ``flags_needed``, of a directory of which ``stored_for`` is known."""
    if own in stored:
        return {}
    return {f"from_{other}": True for other in [kind for kind in others if kind in stored][:1]}
