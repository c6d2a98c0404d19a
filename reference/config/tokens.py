"""Token ids in a ``config.json``: one, several, none, or one outside the vocabulary.

Most token ids are not needed to build and run a model. A computation that needs a missing one raises an error with
the reason (``why_unusable``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from reference.errors import CheckpointError

Tokens = int | tuple[int, ...] | None
"""The valid values of a token id field."""
_LARGEST = 2**63


def tokens_of(values: Mapping[str, Any], names: Iterable[str], location: Path | str) -> dict[str, Tokens]:
    """The values of token fields: an integer, null, or several, as a tuple so that a config can be hashed.

    Several end tokens are documented (generation page, ``eos_token_id``). Whether an id is in the vocabulary, and
    whether several are permitted, is not checked here but where the token is used.

    Raises:
        CheckpointError: a value has another type.
    """
    found: dict[str, Tokens] = {}
    for name in names:
        value = values[name]
        listed = [] if value is None else value if isinstance(value, list | tuple) else [value]
        if value in ([], ()) or not all(map(_is_id, listed)):
            raise CheckpointError(location, f"{name} is {_shown(value)}, not a token id")
        found[name] = tuple(value) if isinstance(value, list | tuple) else value
    return found


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST


def _shown(value: Any) -> str:
    """A shortened representation of a JSON value."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return "a number beyond 64 bits"
    return "a list with values that are not ids" if isinstance(value, list | tuple) else "a JSON object"


def only(value: Tokens, name: str, without: str) -> int:
    """The id of a token that must be unique; it may be outside the vocabulary.

    Args:
        without: the start of the error message: the operation that needs the token.

    Raises:
        ValueError: the config has no such token, or several.
    """
    if not isinstance(value, int):
        raise ValueError(f"{without}: the config has {'no' if value is None else 'more than one'} {name}")
    return value


def usable(value: Any, vocab: int) -> int | None:
    """The id of a token field (the first of several) if it is in the vocabulary, else None."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return first if _is_id(first) and 0 <= first < vocab else None


def why_unusable(name: str, value: Any, vocab: int, location: str = "config.json") -> str:
    """The reason why an id cannot be used; "" if it can."""
    if value is None:
        return f"{location} has none ({name} is null or missing)"
    if isinstance(value, list | tuple):
        return f"{location} lists several ({name} is {list(value)[:4]}), but exactly one is needed"
    if usable(value, vocab) is None:
        return f"{name} is {value} in {location}, outside the table of {vocab} tokens (0 to {vocab - 1})"
    return ""
