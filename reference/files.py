"""Opens all files of a checkpoint and parses JSON, within limits of kind, size, depth and count.

A directory entry may be a pipe, on which a read blocks forever, or an endless device; a short JSON file may need more
memory than is available. Each such file raises a ``CheckpointError`` without using resources.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from reference.errors import CheckpointError, brief

MEGABYTE = 1 << 20
SIZES = {
    "config.json": 16,
    "generation_config.json": 4,
    "tokenizer_config.json": 64,
    "special_tokens_map.json": 16,
    "added_tokens.json": 32,
    "vocab.json": 64,
    "merges.txt": 64,
    "tokenizer.json": 128,
}
"""Size limit in megabytes by file name: several times the largest published files."""
_OTHER_SIZE = 64
DEEPEST = 64
"""Nesting limit of JSON; no file of a checkpoint needs ten levels, and readers of other libraries stop at 128."""
MOST_VALUES = 4_000_000
"""Limit on values in one JSON file, counted by commas, colons and opening brackets …"""
MOST_SETTINGS = 200_000
"""… and in a config, which libraries copy and compare many times during loading: twice the need of 21,843 labels."""
_OF_SETTINGS = ("config.json", "generation_config.json")
_DIGITS = 100
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def pipe_of(stream: IO[bytes] | None) -> IO[bytes]:
    """The stream of a process pipe, checked to exist.

    Raises:
        ValueError: the process was started without this pipe.
    """
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, with links resolved; False also for names that the system does not support."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[io.BufferedReader]:
    """Opens a regular file for reading, with links resolved.

    Raises:
        CheckpointError: it is missing, is not a regular file (a pipe, a device, a directory), or cannot be read.
    """
    try:
        # Checked before opening, because opening a device may have side effects; and again afterwards, because the path
        # may have changed.
        check_regular(path, path.stat().st_mode)
        # Non-blocking, in case the path was replaced by a pipe.
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with os.fdopen(number, "rb") as file:
        check_regular(path, os.fstat(number).st_mode)
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


def check_regular(path: Path, mode: int) -> None:
    """Raises a CheckpointError with the kind of the path if its mode is not that of a regular file."""
    if not stat.S_ISREG(mode):
        raise CheckpointError(path, f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    if isinstance(error, FileNotFoundError):
        return CheckpointError(path, "no such file")
    return CheckpointError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def read_bytes(path: Path, megabytes: int | None = None) -> bytes:
    """The content of a file that is read into memory.

    Args:
        megabytes: the size limit; None for the limit in ``SIZES`` for its name.

    Raises:
        CheckpointError: as ``open_file``, or it is larger.
    """
    limit = largest(path.name) if megabytes is None else megabytes * MEGABYTE
    with open_file(path) as file:
        # Reads one byte more than allowed, regardless of the reported size: files in /proc have size 0.
        content = file.read(min(limit, os.fstat(file.fileno()).st_size + MEGABYTE) + 1)
    check_size(path, len(content), limit)
    return content


def largest(name: str) -> int:
    """The size limit in bytes of a checkpoint file that is not a weight file."""
    return SIZES.get(name, _OTHER_SIZE) * MEGABYTE


def check_size(path: Path, size: int, limit: int) -> None:
    """Raises CheckpointError if a file is larger than ``limit`` bytes."""
    if size > limit:
        raise CheckpointError(path, f"larger than {limit // MEGABYTE} MB, which no such file needs")


def read_json(directory: Path | str, name: str) -> Any:
    """The content of one JSON file of a checkpoint.

    Raises:
        CheckpointError: no such directory or file, or it is not UTF-8 JSON; the message has line and column.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(directory, "not a directory" if directory.exists() else "no such directory")
    path = directory / name
    return parse_json(read_bytes(path), path)


def parse_json(content: bytes, path: Path | str, unique: bool = False) -> Any:
    """The value of a JSON text in UTF-8 (or UTF-16 or 32 with a byte order mark, as Python's ``json`` accepts it).

    The last value of a duplicate key is used, and NaN and Infinity are accepted, as in the libraries that read
    configs; ``unique`` is for formats that permit neither.

    Args:
        path: the path in error messages.
        unique: whether to refuse duplicate keys, NaN and Infinity.

    Raises:
        CheckpointError: it is not JSON (the message has line and column), is nested too deeply, or has too many values
            or an integer of more than 100 digits.
    """
    most = MOST_SETTINGS if Path(path).name in _OF_SETTINGS else MOST_VALUES
    if sum(map(content.count, (b",", b":", b"[", b"{"))) > most:
        raise CheckpointError(path, f"not JSON that can be read: more than {most:,} values")
    try:
        found = json.loads(
            content,
            parse_int=_whole,
            **({"object_pairs_hook": _unique, "parse_constant": _refuse} if unique else {}),
        )
    except json.JSONDecodeError as error:
        raise CheckpointError(path, f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        cause = f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        raise CheckpointError(path, cause) from error
    except RecursionError as error:
        raise CheckpointError(path, f"not JSON that can be read: nested deeper than {DEEPEST} levels") from error
    except ValueError as error:
        raise CheckpointError(path, f"not JSON that can be read: {error}") from error
    if _too_deep(found):
        raise CheckpointError(path, f"not JSON that can be read: nested deeper than {DEEPEST} levels")
    return found


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _refuse(constant: str) -> float:
    raise ValueError(f"it contains {constant}, which is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"it names {brief(twice)} twice")
    return found


def _too_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than ``DEEPEST``, checked level by level."""
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for each in level:
            if type(each) is list:
                inner += (entry for entry in each if type(entry) in (list, dict))
            elif type(each) is dict:
                inner += (entry for entry in each.values() if type(entry) in (list, dict))
        if not inner:
            return False
        level = inner
    return True
