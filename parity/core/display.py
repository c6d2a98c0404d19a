"""How text that came from outside is shown: the names, values, paths and messages of a checkpoint or a library.

What is stored (manifests, reports, traces) holds such text as it is. Every output passes it through ``printable``
before a terminal, a browser, an XML reader or a build service interprets it; ``shown`` does so for a whole report.
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
"""Combining marks on one letter that are shown; more of them reach over the lines above and below."""
PROSE = frozenset(
    {"reason", "message", "claim", "note", "why", "problem", "diagnosis", "mended_reason", "error", "notes"}
)
"""Fields that hold sentences, where a line break of a library's message is only a space."""
PROSE_LIMIT = 4000
MESSAGE_LIMIT = 2000
"""Characters of an error's message that are shown."""
LIMIT = 1000
LINES = frozenset({"code", "corrected", "expected", "got", "output"})
"""Fields that hold lines of code or of output, each of which is shown as a line of its own."""
LIMITS = dict.fromkeys(("again", "text", "source", "command", "cause", "advice", *LINES), 20_000)
"""Characters of a report's field that are shown, where they are more than ``LIMIT``."""
DEEPEST = 32
"""Levels of a nested value that are shown."""

_BLANK = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that Unicode counts as printable and that show nothing (its Default_Ignorable_Code_Point)."""
_COMMAND = re.compile(r"\s*::")
"""How a line begins that GitHub's runner executes (actions/runner, ``ActionCommand.TryParseV2``) …"""
_OLD_COMMAND = "##["
"""… and what it executes anywhere in a line (``ActionCommand.TryParse``)."""


def printable(text: object, limit: int = 300) -> str:
    r"""One line of text that cannot control a terminal, end a line, command a build service or grow without bound.

    Control characters (C0, DEL, C1), line breaks, lone surrogates, characters that show nothing or turn the direction
    of writing, spaces other than the plain one, and piles of combining marks become escapes (``\x1b``, ``\n``,
    ``\udfff``, ``\u202e``); so does what GitHub's runner would take for a command. What is longer than ``limit``
    characters is cut, and says how long it was. Text that needs none of this is returned as it is, and what was made
    printable stays so: ``printable(printable(x)) == printable(x)`` where nothing is cut.

    Args:
        text: anything; what is no text is shown by its ``str``, containers by a ``repr`` of bounded size.
        limit: characters.

    It never raises.
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
    """A message on one line: ``printable``, with a single space for whatever blanks and line breaks it holds."""
    whole = text if isinstance(text, str) else _bounded(text, limit)
    # Cut before it is split, so that a gigabyte of message costs no second one.
    return printable(" ".join(whole[: 4 * limit].split()) if len(whole) <= 4 * limit else whole, limit)


def shown(value: T, limit: int | None = None) -> T:
    """A value of any depth with every text in it made printable: records, dataclasses, tuples, lists, dictionaries.

    What needs no change is not copied, so that an ordinary report costs one walk through it.

    Args:
        value: keys of dictionaries are texts too; paths, numbers and what else is no text stay as they are.
        limit: characters of each text; by default as its field needs (``LIMITS``).
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
    """A record or a dataclass with printable fields; anything else as it is."""
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


def markdown(text: object, limit: int = PROSE_LIMIT) -> str:
    """A text on one line of Markdown or in a cell of a table, where nothing in it is markup."""
    # An underscore within a word is no markup, and names are full of them.
    return re.sub(r"([\\`*~$|\[\]]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", escape(sentence(text, limit), quote=False))


def markdown_code(text: object, limit: int = LIMIT, *, in_table: bool = False) -> str:
    """A text as code on one line of Markdown, whatever backticks it holds.

    Args:
        in_table: a bar would end the cell, even in code (GitHub Flavored Markdown, section 4.10).
    """
    line = printable(text, limit)
    line = line.replace("|", "\\|") if in_table else line
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line[:1] in ("`", "", " ") or line[-1:] in ("`", " ") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _escaped(text: str) -> Iterator[str]:
    marks = MOST_MARKS  # a mark at the very beginning would stand on what we wrote before it
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
    """What a value that is no text says of itself, at a bounded cost."""
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
    except Exception:  # its own __str__ may do anything
        return f"<{type(value).__name__}>"
