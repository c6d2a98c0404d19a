"""A name that is not there, and the one that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from parity.core.display import printable

SHORT = 6
"""Up to so many names are listed even beside the nearest one."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like a mistyped one, whatever its case; "" where none is alike.

    >>> nearest("num1", ["NUM01", "LOSS01"])
    'NUM01'
    """
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower()[:100], by_lower, 1)
    return by_lower[found[0]] if found else ""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that is not there: with the nearest one, or else with all there are.

    Args:
        what: the beginning of the sentence: ``no check is called``.

    >>> unknown("no check is called", "NUM1", ["NUM01", "LOSS01"])
    'no check is called NUM1; did you mean NUM01?'
    >>> unknown("no check is called", "x", ["NUM01", "LOSS01"])
    'no check is called x; there are NUM01, LOSS01'
    """
    known = list(dict.fromkeys(known))
    close, there_are = nearest(name, known), f"there are {', '.join(known)}"
    if close:
        there_are = f"did you mean {close}?" + (f" ({there_are})" if 2 < len(known) <= SHORT else "")
    return f"{what} {printable(name, 200)}; {there_are}"
