"""Markdown escapes that a translation left in code: ``"finished in 1930\\. It was"``, ``from\\_pretrained``."""

from __future__ import annotations

import re

ESCAPED = re.compile(r"\\([.\-_*#+!()\[\]{}<>|`~])")
"""Characters that Markdown escapes with a backslash and Python does not."""
RAW = re.compile(r"""\b[bB]?[rR][bB]?["']""")


def repair_markdown(code: str) -> tuple[str, tuple[str, ...]]:
    """Removes Markdown escapes from code.

    Python does not define these escapes: in a string they cause a warning, elsewhere a syntax error. A raw string may
    contain them on purpose (``r"\\."``), so code with a raw string is returned unchanged.

    Returns:
        The code, and a note if anything was removed.
    """
    if RAW.search(code):
        return code, ()
    repaired, count = ESCAPED.subn(r"\1", code)
    return repaired, ("removed Markdown escapes left in the code by a translation",) if count else ()
