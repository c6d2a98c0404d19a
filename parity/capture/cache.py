"""Content-addressed cache of traces: a trace is reused only if everything it depends on is the same."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.core.trace import Trace, TraceError

PARTS_OLDER_THAN = 900.0
"""Age in seconds from which a partly written file counts as abandoned."""


def default_cache() -> Path:
    """The user's cache directory for this program."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("encdec-parity"))


@dataclass(frozen=True)
class Cached:
    """One trace in the cache."""

    key: str
    path: Path
    size: int
    """Bytes."""
    age: float
    """Seconds since it was written or last used."""
    backend: str = ""
    checkpoint: str = ""


class TraceCache:
    """Traces under ``<folder>/traces/ab/<key>.safetensors``, compilation caches under ``<folder>/compiled``,
    and files converted for engines under ``<folder>/engines``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.traces = folder / "traces"
        self.compiled = folder / "compiled"
        self.conversions = folder / "engines"

    def path(self, key: str) -> Path:
        """The path of this key's trace; a worker writes it atomically."""
        return self.traces / key[:2] / f"{key}.safetensors"

    def find(self, key: str) -> Trace | None:
        """The trace, its file marked as used; None if it is absent, damaged or has another key."""
        path = self.path(key)
        try:
            trace = Trace.read(path)
            os.utime(path)
        except (TraceError, OSError):
            return None
        return trace if trace.provenance.get("key") == key else None

    def publish(self, keys: Iterable[str]) -> None:
        """Called with the traces of a checkpoint that is complete; a cache that is shared hands them on."""

    def put(self, key: str, trace: Trace) -> Path:
        """Writes a trace with the key in its provenance.

        Raises:
            OSError: the cache cannot be written.
        """
        trace.provenance = {**trace.provenance, "key": key}
        trace.write(self.path(key))
        return self.path(key)

    def list(self) -> list[Cached]:
        """All complete traces, most recently used first; unreadable files are listed without provenance."""
        entries = [self._entry(path) for path in self.traces.glob("??/*.safetensors") if not _is_part(path)]
        return sorted((entry for entry in entries if entry), key=lambda entry: entry.age)

    def clean(self, *, older_than: float | None = None, down_to: int | None = None) -> list[Cached]:
        """Removes traces unused for ``older_than`` seconds, then the least recently used until ``down_to`` bytes are
        left.

        With neither, removes all of them, the compilation caches and converted files. Partly written files are always
        removed.

        Returns:
            The removed traces.
        """
        self.remove_parts(0.0)
        entries, everything = self.list(), older_than is None and down_to is None
        removed = [entry for entry in entries if everything or (older_than is not None and entry.age > older_than)]
        if down_to is not None:
            remaining = 0
            for entry in (entry for entry in entries if entry not in removed):
                remaining += entry.size
                if remaining > down_to:
                    removed.append(entry)
        for entry in removed:
            entry.path.unlink(missing_ok=True)
        if everything:
            _remove_tree(self.compiled)
            _remove_tree(self.conversions)
        return removed

    def remove_parts(self, older_than: float = PARTS_OLDER_THAN) -> None:
        """Removes partly written files of killed processes."""
        for path in self.traces.glob("??/.part-*"):
            if _age(path) >= older_than:
                path.unlink(missing_ok=True)

    def _entry(self, path: Path) -> Cached | None:
        try:
            size, age = path.stat().st_size, _age(path)
            origin = _provenance(path)
        except OSError:
            return None
        return Cached(path.stem, path, size, age, origin.get("backend", ""), origin.get("checkpoint", ""))


def _provenance(path: Path) -> dict[str, Any]:
    """The provenance of a trace; empty where it cannot be read."""
    try:
        return Trace.read(path).provenance
    except TraceError:
        return {}


def trace_key(**parts: Any) -> str:
    """sha256 over everything a trace depends on, named; 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _is_part(path: Path) -> bool:
    return path.name.startswith(".part-")


def _age(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _remove_tree(folder: Path) -> None:
    import shutil

    if folder.exists():
        shutil.rmtree(folder)
