"""Tokenizer files of tiny vocabularies that still spell any text, with the published special tokens at their ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def write_vocabulary(row: Mapping[str, Any], folder: Path) -> None:
    """Writes one vocabulary of ``stand_ins.toml`` as the files of its kind.

    Raises:
        ValueError: the kind is unknown.
    """
    folder.mkdir(parents=True)
    if row["kind"] not in _KINDS:
        raise ValueError(f"unknown kind of vocabulary {row['kind']!r}: {', '.join(_KINDS)}")
    _KINDS[row["kind"]](row, folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(row["tokenizer_config"], indent=2), encoding="utf-8")


def _byte_level(row: Mapping[str, Any], folder: Path) -> None:
    """``vocab.json``, ``merges.txt``, ``tokenizer.json``: every byte, the words, and names that no text becomes."""
    import transformers

    merges, tokens = _merged(row["words"])
    known = {**row["special"], **{_spelled(word): place for word, place in row["words"].items()}}
    # What a merge makes on the way to a word needs a place of its own; so does each byte.
    others = [token for token in [*_BYTES.values(), *tokens] if token not in known]
    free = (place for place in range(row["size"]) if place not in set(known.values()))
    known |= dict(zip(others, free, strict=False))
    taken = set(known.values())
    known |= {f"unused{place}": place for place in range(row["size"]) if place not in taken}
    vocabulary = dict(sorted(known.items(), key=lambda item: item[1]))
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    fast = getattr(transformers, f"{row['class']}Fast")(str(folder / "vocab.json"), str(folder / "merges.txt"))
    _write_serialised(fast, folder)


def _merged(words: Mapping[str, int]) -> tuple[list[tuple[str, str]], list[str]]:
    """The merges that make each word of its letters, from the left, and every token on the way.

    The blank before a word comes last: earlier merges win, and the word itself may stand in the table without it.
    """
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        letters = _spelled(word.lstrip(" "))
        merges |= {(letters[:end], letters[end]): None for end in range(1, len(letters))}
    merges |= {(_spelled(" "), _spelled(word[1:])): None for word in words if word.startswith(" ")}
    return list(merges), list(dict.fromkeys("".join(pair) for pair in merges))


def _byte_names() -> Iterator[tuple[int, str]]:
    """GPT-2's names of bytes (its ``encoder.py``, ``bytes_to_unicode``): those that print name themselves."""
    following = 0
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            yield byte, chr(byte)
        else:
            yield byte, chr(256 + following)
            following += 1


_BYTES = dict(_byte_names())


def _spelled(word: str) -> str:
    return "".join(_BYTES[byte] for byte in word.encode())


def _write_serialised(fast: Any, folder: Path) -> None:
    """``tokenizer.json`` in a form that tokenizers 0.15 reads too: later ones write a merge as a list of two."""
    content = json.loads(fast.backend_tokenizer.to_str())
    merges = content["model"].get("merges")
    if merges:
        content["model"]["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


_KINDS = {"byte-level": _byte_level}
