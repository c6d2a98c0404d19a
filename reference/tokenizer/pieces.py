"""Splits a text before merging (Radford et al. 2019, section 2.2: merges do not cross character categories)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reference.tokenizer.characters import ITSELF, LETTER, NUMBER, OTHER, WHITE, kinds
from reference.tokenizer.dialect import Letters

_LETTERS = f"[{LETTER}{ITSELF[2:]}]"
_WHITE = f"[ {WHITE}]"
_PATTERN = re.compile(
    "|".join(
        (
            "'(?:[stmd]|re|ve|ll)",  # English contractions, lower case and with U+0027 only
            f" ?{_LETTERS}+",
            f" ?{NUMBER}+",
            f" ?['{OTHER}]+",
            # White space before a word excludes its last character, which is joined to the word if it is a space.
            f"{_WHITE}+(?!{_WHITE.replace('[', '[^')})",
            f"{_WHITE}+",
        )
    )
)
"""GPT-2's pattern (its ``encoder.py``, 2019), applied to character classes instead of characters.

A text and its string of classes have the same length, so matches in one are spans of the other.
"""


def pieces(text: str, letters: Letters) -> Iterator[tuple[int, int]]:
    """Start and end of each piece of a text, in characters; the pieces cover the whole text."""
    return (found.span() for found in _PATTERN.finditer(kinds(text, letters)))
