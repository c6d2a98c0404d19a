"""Which frameworks the weight files of a directory were written for, and the flag by which another framework loads
them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open


def stored_for(checkpoint: Path) -> set[str]:
    """Which frameworks the weight files of a directory were written for: ``pt``, ``tf``, ``flax``.

    A safetensors file names its framework in the metadata's ``format`` (transformers, ``save_pretrained``); one without
    it, or an unreadable file, counts as PyTorch's, the library's own default.
    """
    names = {"pt": "pytorch_model.bin", "tf": "tf_model.h5", "flax": "flax_model.msgpack"}
    # Only names that a library looks for: other files do not affect the route.
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
    """The first shard name in an index; the index's own name, which no reader accepts as weights, if there is none."""
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
    """As ``flags_needed``, for a known ``stored_for``."""
    if own in stored:
        return {}
    return {f"from_{other}": True for other in [kind for kind in others if kind in stored][:1]}
