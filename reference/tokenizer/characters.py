"""Character classes of the splitting pattern (letters, numbers, white space) for one Unicode version, on any Python.

Python's own table depends on the interpreter (3.11: Unicode 14.0). Characters that became letters or numbers later are
listed here with their Unicode version; up to 18.0 no letter or number has lost that property.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache

from reference.tokenizer.dialect import Letters

LETTER, NUMBER, WHITE, OTHER = "LNWO"
ITSELF = " 'strevmld"
"""Characters that the pattern contains literally: space, apostrophe, and the letters of English contractions."""

_LETTERS_16 = """
    1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 10d6f-10d85 10ec2-10ec4 1123f-11240 11380-11389 1138b
    1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446 13460-143fa
    16100-1611d 16d40-16d6c 18cff 1b132 1b155 1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739
    2ebf0-2ee5d 31350-323af
"""
_LETTERS_18 = """
    558 58b-58c 88f c5c cdc 208f 209d-209f a7ce-a7cf a7d2 a7d4 a7dd a7e2 a7f1 ab6c-ab6d 107bb-107bf 10940-10959
    10ec5-10ec7 10ed9-10eee 11b0a 11db0-11ddb 11df1 16ea0-16eb8 16ebb-16ed3 16ff2-16ff3 187f8-187ff 18cd6-18cda
    18d09-18d20 18d80-18df2 18e00-19191 191a0-191d2 1b123-1b128 1b168 1d6a6 1df1f-1df24 1df2b-1df81 1df90-1df96
    1dfcd-1dfff 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed 1e6f0-1e6f4 1e6fe-1e6ff 2b73a-2b73f 2b81e
    2cea2-2cead 323b0-33479 3d000-3fc3f
"""
_NUMBERS_16 = """
    10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 1d2c0-1d2d3 1e4f0-1e4f9
    1e5f1-1e5fa
"""
_NUMBERS_18 = """
    11de0-11de9 1246f 12475-1247f 12550-12686 16ff4-16ff6
"""


def _ranges(text: str, kind: str, since: int) -> list[tuple[int, int, str, int]]:
    bounds = (word.split("-") for word in text.split())
    return [(int(bound[0], 16), int(bound[-1], 16), kind, since) for bound in bounds]


_NEWER = sorted(
    _ranges(_LETTERS_16, LETTER, 16)
    + _ranges(_LETTERS_18, LETTER, 18)
    + _ranges(_NUMBERS_16, NUMBER, 16)
    + _ranges(_NUMBERS_18, NUMBER, 18)
)
_OF_CATEGORY = {"L": LETTER, "N": NUMBER}
_VERSION = {Letters.UNICODE_16: 16, Letters.UNICODE_18: 18}

WHITE_SPACE = frozenset("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000").union(
    map(chr, range(0x2000, 0x200B))
)
"""Unicode's property White_Space; ``str.isspace`` also includes U+001C to U+001F."""


def kinds(text: str, letters: Letters) -> str:
    """One letter for each character of a text: its class, or the character itself if it is in ``ITSELF``."""
    table = _table(letters)
    new = set(map(ord, text)).difference(table)
    if new:
        table.update(_classified(new, _VERSION[letters]))
    return text.translate(table)


@cache
def _table(letters: Letters) -> dict[int, str]:
    """Code point to class, filled on demand: classifying all 1,112,064 code points in advance is too slow."""
    return {ord(char): char for char in ITSELF}


def _classified(codes: Iterable[int], version: int) -> Iterator[tuple[int, str]]:
    for code in codes:
        first, last, kind, since = _NEWER[max(bisect_right(_NEWER, (code, 0x110000)) - 1, 0)]
        if first <= code <= last:
            yield code, kind if since <= version else OTHER
        elif chr(code) in WHITE_SPACE:
            yield code, WHITE
        else:
            yield code, _OF_CATEGORY.get(unicodedata.category(chr(code))[0], OTHER)
