"""Reads names, first bytes and small JSON files of an untrusted directory; None where there is nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference.config import read_json
from reference.errors import CheckpointError

MOST_NAMES = 20_000
"""Maximum number of names of a directory that are read."""
LARGEST_JSON = 16_000_000
"""Maximum size in bytes of a JSON file that is read for a diagnosis."""


def names_in(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Names of a directory's files and of its folders; empty where it cannot be listed."""
    files, folders = [], []
    try:
        with os.scandir(path) as entries:
            for entry, _ in zip(entries, range(MOST_NAMES), strict=False):
                (folders if _is_folder(entry) else files).append(entry.name)
    except OSError:
        return frozenset(), frozenset()
    return frozenset(files), frozenset(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """False also for a symbolic link loop."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def first_bytes(path: Path, count: int = 512) -> bytes | None:
    """The first bytes of a regular file; None for anything else, or where it cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(count)
    except (OSError, ValueError):
        return None


def size_of(path: Path) -> int | None:
    """Size in bytes of a regular file; None for anything else."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def json_object(directory: Path, name: str) -> Mapping[str, Any] | None:
    """A small JSON object; None where the file is anything else."""
    size = size_of(directory / name)
    if size is None or size > LARGEST_JSON:
        return None
    try:
        content = read_json(directory, name)
    except CheckpointError:
        return None
    return content if isinstance(content, Mapping) else None


def word(value: Any, default: str = "") -> str:
    """A string from a JSON file, if it is short enough to be shown."""
    return value if isinstance(value, str) and 0 < len(value) <= 200 else default
