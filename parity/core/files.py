"""File identity, and writing a file that the user named."""

from __future__ import annotations

import os
from pathlib import Path


def status_of(path: str | Path | int) -> tuple[int, int, int, int, int]:
    """Device, inode, size, and the times of the last change of content and metadata, in nanoseconds."""
    found = os.stat(path)  # noqa: PTH116 (a worker asks this of every file twice for each case)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def write_whole(path: Path, text: str) -> None:
    """Writes a file atomically, and creates its folder if needed.

    An existing path other than a regular file (a device, a pipe, a link such as ``/dev/stdout``) is written to, never
    replaced.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".part-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        if temporary.is_file():  # a full disk leaves a partial file
            temporary.unlink()
        raise


def check_writable(path: Path) -> None:
    """Checks before long work that a file can be written, without leaving anything behind.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    if path.exists():
        with path.open("a", encoding="utf-8"):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.unlink()
