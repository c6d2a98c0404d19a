"""Escapes text from outside: names, values, paths and messages of a checkpoint or a library.

Stored files (manifests, reports, traces) hold such text unchanged. Every output passes it through ``printable`` before
a terminal, a browser, an XML parser or a CI service interprets it; ``shown`` escapes a whole report.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import reprlib
import unicodedata
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, TypeVar

T = TypeVar("T")

MOST_MARKS = 3
"""Combining marks per letter that are shown; more would overlap the lines above and below."""
PROSE = frozenset(
    {"reason", "message", "claim", "note", "why", "problem", "diagnosis", "mended_reason", "error", "notes"}
)
"""Fields that hold sentences; a line break in a library's message is shown as a space."""
PROSE_LIMIT = 4000
MESSAGE_LIMIT = 2000
"""Characters of an error's message that are shown."""
LIMIT = 1000
LINES = frozenset({"code", "corrected", "expected", "got", "output"})
"""Fields that hold lines of code or output, each shown as a separate line."""
LIMITS = dict.fromkeys(("reproduce", "text", "source", "command", "cause", "advice", *LINES), 20_000)
"""Length limits of report fields that differ from ``LIMIT``, in characters."""
DEEPEST = 32
"""Nesting depth of a value that is shown."""

_BLANK = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that Unicode counts as printable but that render as nothing (Default_Ignorable_Code_Point)."""
_COMMAND = re.compile(r"\s*::")
"""Line prefixes that GitHub's runner executes (actions/runner, ``ActionCommand.TryParseV2``) …"""
_OLD_COMMAND = "##["
"""… and prefixes it executes anywhere in a line (``ActionCommand.TryParse``)."""


def printable(text: object, limit: int = 300) -> str:
    r"""Escapes text to one bounded line without terminal controls, line breaks or CI commands.

    Control characters (C0, DEL, C1), line breaks, lone surrogates, invisible and bidirectional control characters,
    spaces other than U+0020, and stacked combining marks become escapes (``\x1b``, ``\n``, ``\udfff``, ``\u202e``); as
    do GitHub runner commands. Text longer than ``limit`` characters is truncated and its length appended. Other text is
    returned unchanged, and the function is idempotent where nothing is truncated: ``printable(printable(x)) ==
    printable(x)``.

    Args:
        text: any object; objects other than text by ``str``, containers by a ``repr`` of bounded size.
        limit: characters.

    Never raises.
    """
    whole = text if isinstance(text, str) else _bounded(text, limit)
    if len(whole) <= limit and whole.isascii() and whole.isprintable():
        shown = whole
    else:
        shown = "".join(_escaped(whole[:limit]))[:limit]
    if _OLD_COMMAND in shown:
        shown = shown.replace(_OLD_COMMAND, r"#\x23[")
    if found := _COMMAND.match(shown):
        shown = f"{shown[: found.end() - 2]}\\x3a{shown[found.end() - 1 :]}"
    return shown if len(whole) <= limit else f"{shown}… ({len(whole):,} characters)"


def sentence(text: object, limit: int = PROSE_LIMIT) -> str:
    """A message on one line: ``printable``, with runs of white space and line breaks collapsed to one space."""
    whole = text if isinstance(text, str) else _bounded(text, limit)
    # Truncated before it is split, so that a message of a gigabyte is not copied.
    return printable(" ".join(whole[: 4 * limit].split()) if len(whole) <= 4 * limit else whole, limit)


def shown(value: T, limit: int | None = None) -> T:
    """A copy with every text made printable, at any depth of records, dataclasses, tuples, lists and dictionaries.

    Parts that need no change are not copied.

    Args:
        value: dictionary keys are escaped too; paths, numbers and other objects are left unchanged.
        limit: characters of each text; by default per field (``LIMITS``).
    """
    return _shown(value, "", limit, 0)


def _shown(value: Any, name: str, limit: int | None, depth: int) -> Any:
    if isinstance(value, str):
        if name in PROSE:
            text = sentence(value, limit or PROSE_LIMIT)
        elif name in LINES:
            lines = value[: LIMITS[name]].split("\n")
            text = "\n".join(printable(line, limit or LIMIT) for line in lines)
        else:
            text = printable(value, limit or LIMITS.get(name, LIMIT))
        return value if text == value else text
    if value is None or isinstance(value, int | float | bytes):
        return value
    if depth > DEEPEST:
        return printable(value, limit or LIMIT)
    if isinstance(value, Mapping):
        pairs = [
            (_shown(key, "", limit, depth), _shown(each, str(key), limit, depth + 1)) for key, each in value.items()
        ]
        same = all(old is new[0] and value[old] is new[1] for old, new in zip(value, pairs, strict=True))
        return value if same else dict(pairs)
    if isinstance(value, list | tuple | set | frozenset):
        members = [_shown(each, name, limit, depth + 1) for each in value]
        if all(old is new for old, new in zip(value, members, strict=True)):
            return value
        return type(value)(*members) if hasattr(value, "_fields") else type(value)(members)
    return _with_fields(value, limit, depth)


def _with_fields(value: Any, limit: int | None, depth: int) -> Any:
    """A record or a dataclass with printable fields; anything else unchanged."""
    changed = {}
    for name in _names_of_fields(value):
        old = getattr(value, name)
        new = _shown(old, name, limit, depth + 1)
        if new is not old:
            changed[name] = new
    if not changed:
        return value
    if hasattr(value, "model_copy"):
        return value.model_copy(update=changed)
    made = copy.copy(value)
    for name, new in changed.items():
        object.__setattr__(made, name, new)  # it may be frozen
    return made


def _names_of_fields(value: Any) -> list[str]:
    if hasattr(value, "model_fields_set"):
        return list(type(value).model_fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    return []


def at_index(index: Mapping[str, int]) -> str:
    """An index by axis, as the end of a phrase: `` at [batch 2, src 8]``; "" for none."""
    return f" at [{', '.join(f'{axis} {number}' for axis, number in index.items())}]" if index else ""


def markdown(text: object, limit: int = PROSE_LIMIT) -> str:
    """Escapes text for one line of Markdown or a table cell, so that nothing in it is markup."""
    # An underscore within a word is not markup and is common in names.
    return re.sub(r"([\\`*~$|\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", escape(sentence(text, limit), quote=False))


def markdown_code(text: object, limit: int = LIMIT, *, in_table: bool = False) -> str:
    """Formats text as code on one line of Markdown, whatever backticks it contains.

    Args:
        in_table: a bar would end the cell, even in code (GitHub Flavored Markdown, section 4.10).
    """
    line = printable(text, limit)
    line = line.replace("|", "\\|") if in_table else line
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line[:1] in ("`", "", " ") or line[-1:] in ("`", " ") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _escaped(text: str) -> Iterator[str]:
    marks = MOST_MARKS  # a leading combining mark would attach to the text before it
    for letter in text:
        if letter.isascii():
            marks = 0
            yield letter if letter.isprintable() else _code(letter)
            continue
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        hidden = not letter.isprintable() or marks > MOST_MARKS or _BLANK.match(letter)
        yield _code(letter) if hidden else letter


def _code(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _bounded(value: object, limit: int) -> str:
    """The ``str`` or ``repr`` of an object that is not text, at bounded cost."""
    try:
        if isinstance(value, int) and value.bit_length() > 1000:
            return f"an integer of {value.bit_length():,} bits"
        if isinstance(value, bytes | bytearray):
            return repr(bytes(value[:limit]))
        if isinstance(value, dict | list | tuple | set | frozenset):
            short = reprlib.Repr()
            short.maxlevel, short.maxstring, short.maxother = 3, 60, 60
            return short.repr(value)
        return str(value)
    except Exception:  # its own __str__ may raise anything
        return f"<{type(value).__name__}>"
