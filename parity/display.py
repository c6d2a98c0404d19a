"""How text that came from outside (a checkpoint's names, paths, values, exception messages) is shown."""

from __future__ import annotations


def printable(text: object, limit: int = 300) -> str:
    """One line of text that cannot control a terminal, end a line or grow without bound.

    Control characters, line breaks and lone surrogates become escapes (``\\x1b``, ``\\n``, ``\\udfff``); what is longer
    than ``limit`` characters is cut, and says how long it was.
    """
    whole = text if isinstance(text, str) else str(text)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in whole[:limit])
    return shown if len(whole) <= limit else f"{shown}… ({len(whole):,} characters)"
