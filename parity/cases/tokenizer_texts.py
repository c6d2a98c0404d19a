"""Texts that are hard to tokenize: all kinds of white space, every adjacency of character classes, every large
script."""

from __future__ import annotations

import random
from collections.abc import Sequence

from reference.tokenizer.alphabet import bytes_of

SCRAPS = (
    "hello",
    " hello",
    "the",
    " the",
    "'s",
    "'S",
    "’s",
    "'t",
    "'ve",
    "'re",
    "'ll",
    "'m",
    "'d",
    "''",
    "'",
    " '",
    " ",
    "  ",
    "   ",
    "\n",
    "\n ",
    "\t",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x1f",
    "\x85",
    "\xa0",
    "\u1680",
    "\u2003",
    "\u2028",
    "\u2029",
    "\u202f",
    "\u205f",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\u180e",
    "\x00",
    "no",
    "café",
    "cafe\u0301",
    " .",
    " ,",
    " n't",
    "12",
    "٣",
    "²",
    "½",
    "Ⅷ",
    "१२",
    "𝟙",
    "中文",
    "日本語",
    "한국어",
    "한",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f9d1\U0001f3fd\u200d\U0001f33e",
    "🇩🇪",
    "ﬁ",
    "ß",
    "İ",
    "ſ",
    "ǅ",
    "ª",
    "שלום",
    "مرحبا",
    "ไทย",
    "हिन्दी",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U0010ffff",
    "<mask>",
    " <mask>",
    "<mask> ",
    "\xa0<mask>",
    "\x1c<mask>",
    "<s>",
    "</s>",
    "<pad>",
    "<unk>",
    "<mask",
    "<",
    "s>",
)
"""Each is a text by itself, and a piece of longer ones."""
_BLOCKS = (
    (0x21, 0x7E),
    (0xA1, 0x17F),
    (0x370, 0x3FF),
    (0x400, 0x4FF),
    (0x5D0, 0x5EA),
    (0x620, 0x64A),
    (0x300, 0x36F),
    (0x905, 0x939),
    (0xE01, 0xE3A),
    (0x2010, 0x2027),
    (0x2190, 0x21FF),
    (0x3041, 0x3096),
    (0x4E00, 0x4FFF),
    (0xAC00, 0xACFF),
    (0x1F300, 0x1F64F),
    (0x1D400, 0x1D454),
)
"""Character ranges whose Unicode categories are the same in the tables of all library versions."""
SEED = 20261125


def texts(count: int = 60) -> list[str]:
    """The empty text, each fragment, one very long word, and ``count`` fixed pseudo-random mixtures."""
    draw = random.Random(SEED)
    mixed = ["".join(_piece(draw) for _ in range(draw.randint(1, 9))) for _ in range(count)]
    return ["", *SCRAPS, "a" * 600, " ".join(["word"] * 80), *mixed]


def competing(merges: Sequence[tuple[str, str]], count: int = 64, last: int = 16) -> list[str]:
    """Texts whose tokens depend on the order of merges, or on the last merges.

    Where one merge ends with the symbol that another begins with, the one of lower rank applies; pairs nearest in rank
    are the easiest to confuse. A reader that stops early loses the last merges.

    Args:
        merges: best first, in the vocabulary's own spelling.
    """
    begins: dict[str, int] = {}
    ends: dict[str, int] = {}
    found: list[tuple[int, str]] = []
    for rank, (left, right) in enumerate(merges):
        behind, before = begins.get(right, -1), ends.get(left, -1)
        if behind >= 0:
            found.append((rank - behind, left + "".join(merges[behind])))
        if before >= 0:
            found.append((rank - before, "".join(merges[before]) + right))
        begins[left] = ends[right] = rank
    nearest = [spelling for _, spelling in sorted(found)[:count]]
    spellings = dict.fromkeys([*nearest, *("".join(pair) for pair in merges[-last:])])
    return [text for text in map(_text_of, spellings) if text]


def _text_of(spelling: str) -> str:
    """The text of a vocabulary entry; "" where its bytes are not valid UTF-8."""
    try:
        return bytes_of(spelling).decode()
    except UnicodeDecodeError:
        return ""


def pairs(count: int = 12) -> list[tuple[str, str]]:
    """Pairs of first and second text."""
    draw = random.Random(SEED + 1)
    return [(_piece(draw) + _piece(draw), _piece(draw)) for _ in range(count)]


def _piece(draw: random.Random) -> str:
    if draw.random() < 0.5:
        return draw.choice(SCRAPS)
    low, high = draw.choice(_BLOCKS)
    return "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 6)))
