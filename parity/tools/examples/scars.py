"""Backslashes that a translation left in code: ``"finished in 1930\\. It was"``, ``from\\_pretrained``."""

from __future__ import annotations

import re

ESCAPED = re.compile(r"\\([.\-_*#+!()\[\]{}<>|`~])")
"""What Markdown lets a backslash stand before, and no escape of Python's begins with."""
RAW = re.compile(r"""\b[bB]?[rR][bB]?["']""")


def mend_scars(code: str) -> tuple[str, tuple[str, ...]]:
    """Takes the backslashes out.

    Before such a character a backslash means nothing in Python: in a string it stays and is warned of, elsewhere it is
    an error. Only a raw string may want it (``r"\\."``), so that code with one is left alone.

    Returns:
        The code, and a note where something was mended.
    """
    if RAW.search(code):
        return code, ()
    mended, count = ESCAPED.subn(r"\1", code)
    return mended, ("backslashes of a translation taken out of the code",) if count else ()
