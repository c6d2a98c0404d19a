"""A vocabulary as odd as the files allow, and texts that tokenizers stumble over."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from reference.tokenizer.alphabet import ALPHABET, spelled

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
LACKING = "q\x07"
"""Bytes that the odd vocabulary has no token for."""
MERGES = (
    # The third stands before the fourth, which makes one of its parts.
    "h e",
    "l l",
    "ab a",
    "a b",
    "he ll",
    "Ġ Ġ",
    "Ċ Ġ",
    "Ġ he",
    "Ã ©",
    "n o",
    "Ġ '",
    "' '",
    "x x",
    "xx x",
    "âĢ Ļ",
    "x ð",
)
ADDED = (
    {"content": "<new>", "lstrip": False, "rstrip": False, "normalized": False, "special": False},
    {"content": "<new>er", "lstrip": False, "rstrip": True, "normalized": False, "special": False},
    {"content": "[A B]", "lstrip": True, "rstrip": True, "normalized": False, "special": True},
    {"content": "«é»", "lstrip": False, "rstrip": False, "normalized": False, "special": False},
)
"""With ids behind those of the vocabulary; the third is special by ``additional_special_tokens``."""

_SCRAPS = st.sampled_from(
    [
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
        "abab",
        "ababab",
        "xxxx",
        "xxxxx",
        "no",
        "café",
        "cafe\u0301",
        "q",
        "heqllo",
        "\x07",
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
        "<new>",
        "<new>er",
        "<new>e",
        "[A B]",
        " [A B] ",
        "«é»",
        "<<s>",
        "<s></s>",
        "\u088f",
        "\u1c89",
        "\U0001e4d0",
        "\U00031350",
        "\U0003d000",
        "\U00010d40",
        "\U00011de0",
    ]
)
TEXTS = st.lists(
    st.one_of(_SCRAPS, _SCRAPS, st.characters(codec="utf-8"), st.characters(categories=["L", "N", "Z", "M", "P"])),
    max_size=12,
).map("".join)


def odd_vocabulary(directory: Path, settings: dict[str, object] | None = None) -> Path:
    """Writes the odd vocabulary's three files; ``settings`` are entries of ``tokenizer_config.json``."""
    words = [pair.replace(" ", "") for pair in MERGES] + ["âĢ"]
    tokens = [*SPECIAL, *(char for char in ALPHABET if char not in spelled(LACKING)), *words, "<mask>"]
    directory.mkdir(exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}), "utf-8")
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]), "utf-8")
    plain = {"lstrip": False, "rstrip": False, "normalized": False, "special": True}
    decoder = {str(tokens.index(token)): {"content": token, **plain} for token in SPECIAL}
    decoder[str(len(tokens) - 1)] = {"content": "<mask>", **plain, "lstrip": True}
    decoder |= {str(len(tokens) + place): token for place, token in enumerate(ADDED)}
    config = {
        "added_tokens_decoder": decoder,
        "additional_special_tokens": ["[A B]"],
        "tokenizer_class": "BartTokenizer",
        **(settings or {}),
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return directory
