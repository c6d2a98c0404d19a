"""Detects changes in the user's own folders while examples run, by names, sizes and times of their direct entries."""

from __future__ import annotations

from pathlib import Path

Snapshot = dict[str, tuple[int, int]]


def snapshot(folders: list[Path]) -> Snapshot:
    """Size and time of every entry of the folders; not recursive, because there may be millions of files."""
    found = {}
    for folder in dict.fromkeys(folders):
        try:
            entries = list(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.lstat()
            except OSError:
                continue
            found[str(entry)] = (status.st_size, status.st_mtime_ns)
    return found


def what_changed(before: Snapshot, after: Snapshot) -> list[str]:
    """Paths that were created, removed or written."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
