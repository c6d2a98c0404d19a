"""Token ids as a ``config.json`` has them: one, several, none, or one that the table of tokens has no row for.

A model is built and computes without most of them. What needs one that is not there is told why (``why_unusable``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from reference.errors import CheckpointError

Tokens = int | list[int] | None
"""What a config may say of one of its tokens."""
_LARGEST = 2**63


def check_tokens(values: Mapping[str, Any], names: Iterable[str], place: Path | str) -> None:
    """Token ids are whole numbers, lists of such, or null.

    Several ends are documented (generation page, ``eos_token_id``). Whether an id lies in the table, and whether there
    may be several, is not asked here: a model computes without it until something needs it.

    Raises:
        CheckpointError: one is anything else.
    """
    for name in names:
        value = values[name]
        listed = [] if value is None else value if isinstance(value, list | tuple) else [value]
        if value in ([], ()) or not all(map(_is_id, listed)):
            raise CheckpointError(place, f"{name} is {_shown(value)}, not a token id")


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST


def _shown(value: Any) -> str:
    """A few characters of anything that a JSON file can hold."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return "a number beyond 64 bits"
    return "a list that holds no ids alone" if isinstance(value, list | tuple) else "a JSON object"


def only(value: Tokens, name: str, without: str) -> int:
    """The one id that a config has for what needs it, whether or not the table has a row for it.

    Args:
        without: what cannot be done without it, as the message begins.

    Raises:
        ValueError: it has none, or several.
    """
    if not isinstance(value, int):
        raise ValueError(f"{without}: the config has {'no' if value is None else 'more than one'} {name}")
    return value


def usable(value: Any, vocab: int) -> int | None:
    """The one id that a value of a config stands for, if the table has a row for it; of several ends the first."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return first if _is_id(first) and 0 <= first < vocab else None


def why_unusable(name: str, value: Any, vocab: int, place: str = "config.json") -> str:
    """Why an id cannot be used, in words; "" where it can."""
    if value is None:
        return f"{place} says none ({name} is null or left out)"
    if isinstance(value, list | tuple):
        return f"{place} lists several ({name} is {list(value)[:4]}), and here one is needed"
    if usable(value, vocab) is None:
        return f"{name} is {value} in {place}, outside the table of {vocab} tokens (0 to {vocab - 1})"
    return ""
