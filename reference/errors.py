"""The error raised for an unreadable checkpoint, and how values are shown in messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_CAUSE = 600
"""Length limit of a cause in characters; longer ones are truncated."""
_ENTRIES, _LEVELS, _DIGITS = 8, 3, 40


class InputError(ValueError):
    """Input cannot be used; the message is one line for a user that names the input and the cause."""


class CheckpointError(InputError):
    """A checkpoint's file is missing, unreadable or inconsistent; the message is one line, ``path: cause``."""

    def __init__(self, path: str | os.PathLike[str], cause: str) -> None:
        self.path = os.fspath(path)
        cause = str(cause)
        self.cause = " ".join(cause[: LONGEST_CAUSE + 1].split())
        if len(cause) > LONGEST_CAUSE:
            self.cause = f"{self.cause[:LONGEST_CAUSE]}…"
        super().__init__(f"{self.path}: {self.cause}")

    def __reduce__(self) -> tuple[type[CheckpointError], tuple[str, ...]]:
        # The message is built from two arguments; without this the error could not be pickled across processes.
        return CheckpointError, (self.path, self.cause)


def brief(value: object, limit: int = 120) -> str:
    """The ``repr`` of a value, truncated if it is large.

    A value from a file may be a list that contains itself twice, 40 levels deep, or a number of a million digits, for
    which ``repr`` never ends, or raises. This visits at most 8 entries on 3 levels, and 40 digits.

    Args:
        value: anything that was read from a file.
        limit: characters of the result.
    """
    text = "".join(_pieces(value, limit, _LEVELS))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _pieces(value: object, limit: int, levels: int) -> Iterator[str]:
    kind = type(value)
    if kind in (str, bytes, bytearray):
        yield f"{value[:limit]!r}" if len(value) <= limit else f"{value[:limit]!r}…"  # type: ignore[index]
    elif kind is int:
        yield f"{value}" if value.bit_length() < 4 * _DIGITS else f"an integer of {value.bit_length()} bits"  # type: ignore[attr-defined]
    elif kind in (bool, float, type(None)):
        yield repr(value)
    elif kind in (list, tuple, dict):
        yield from _entries(value, limit, levels)
    elif isinstance(value, Mapping):
        yield f"a mapping of {len(value)} entries"
    else:
        yield f"<{kind.__name__}>"


def _entries(value: Any, limit: int, levels: int) -> Iterator[str]:
    opening, closing = {list: "[]", tuple: "()", dict: "{}"}[type(value)]
    if value and levels == 0:
        yield f"{opening}…{closing}"
        return
    yield opening
    for index, entry in enumerate(value.items() if isinstance(value, dict) else value):
        if index == _ENTRIES:
            yield f", … {len(value)} in all"
            break
        yield ", " if index else ""
        if isinstance(value, dict):
            yield from _pieces(entry[0], limit, levels - 1)
            yield ": "
            entry = entry[1]
        yield from _pieces(entry, limit, levels - 1)
    yield f",{closing}" if isinstance(value, tuple) and len(value) == 1 else closing
