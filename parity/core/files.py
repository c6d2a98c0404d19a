"""What tells one file from another, and writing a file that a user named."""

from __future__ import annotations

import os
from pathlib import Path


def status_of(path: str | Path | int) -> tuple[int, int, int, int, int]:
    """Device, inode, size, and when a file's content and its entry changed, in nanoseconds."""
    found = os.stat(path)  # noqa: PTH116 (a worker asks this of every file twice for each case)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all, in a folder that is made for it.

    What is there and is no file of its own (a device, a pipe, a link such as ``/dev/stdout``) is written to, never
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
        if temporary.is_file():  # of a full disk half a file is left
            temporary.unlink()
        raise


def check_writable(path: Path) -> None:
    """Finds out before long work whether a file can be written afterwards, and leaves nothing behind.

    Raises:
        OSError: it cannot; the error names the file.
    """
    if path.exists():
        with path.open("a", encoding="utf-8"):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.unlink()
