"""Tokenizer files of tiny vocabularies that can encode any text, with the published special tokens at their ids."""

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
    """``vocab.json``, ``merges.txt``, ``tokenizer.json``: every byte, the words, and names that no text is encoded
    as."""
    import transformers

    merges, tokens = _merged(row["words"])
    known = {**row["special"], **{_spelled(word): index for word, index in row["words"].items()}}
    # Each intermediate result of a merge needs an id of its own; so does each byte.
    others = [token for token in [*_BYTES.values(), *tokens] if token not in known]
    free = (index for index in range(row["size"]) if index not in set(known.values()))
    known |= dict(zip(others, free, strict=False))
    taken = set(known.values())
    known |= {f"unused{index}": index for index in range(row["size"]) if index not in taken}
    vocabulary = dict(sorted(known.items(), key=lambda item: item[1]))
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    fast = getattr(transformers, f"{row['class']}Fast")(str(folder / "vocab.json"), str(folder / "merges.txt"))
    _write_serialised(fast, folder)


def _word_pieces(row: Mapping[str, Any], folder: Path) -> None:
    """``vocab.txt``, ``tokenizer.json``: characters and pairs of letters, which halve the length of a text."""
    import transformers

    last = max(row["special"].values())
    tokens = {index: f"[unused{index}]" for index in range(last + 1)}
    tokens |= {index: token for token, index in row["special"].items()}
    lowered = row["tokenizer_config"]["do_lower_case"]
    characters = dict.fromkeys(character.lower() if lowered else character for character in _CHARACTERS)
    pieces = [*characters, *_pairs(_LOWER if lowered else _LOWER + _LOWER.upper())]
    continued = [*characters, *_pairs(_LOWER)]
    lines = [*tokens.values(), *pieces, *(f"##{piece}" for piece in continued)]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"do_lower_case": lowered}
    _write_serialised(getattr(transformers, f"{row['class']}Fast")(str(folder / "vocab.txt"), **settings), folder)


def _unigram(row: Mapping[str, Any], folder: Path) -> None:
    """A sentencepiece model of ``size`` pieces, and ``tokenizer.json`` where the library has a fast class for it."""
    import transformers
    from sentencepiece import sentencepiece_model_pb2

    spm: Any = sentencepiece_model_pb2  # its classes are created on import
    model = spm.ModelProto()
    special = sorted(row["special"].items(), key=lambda item: item[1])
    for token, _ in special:
        kind = spm.ModelProto.SentencePiece.UNKNOWN if token == "<unk>" else spm.ModelProto.SentencePiece.CONTROL
        model.pieces.add(piece=token, score=0.0, type=kind)
    # A pair costs less than its two letters.
    pieces = {"\u2581": -3.0, **dict.fromkeys(_CHARACTERS, -4.0), **dict.fromkeys(_pairs(_LOWER), -6.0)}
    for piece, score in list(pieces.items())[: row["size"] - len(special)]:
        model.pieces.add(piece=piece, score=score)
    for index in range(len(model.pieces), row["size"]):
        model.pieces.add(piece=f"unused{index}", score=-100.0, type=spm.ModelProto.SentencePiece.UNUSED)
    model.trainer_spec.model_type = spm.TrainerSpec.UNIGRAM
    model.trainer_spec.vocab_size = row["size"]
    for name in ("unk", "bos", "eos", "pad"):
        token = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"}[name]
        setattr(model.trainer_spec, f"{name}_id", row["special"].get(token, -1))
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    (folder / row["file"]).write_bytes(model.SerializeToString())
    fast = getattr(transformers, f"{row['class']}Fast", None)
    # In transformers 5 a class whose name ends in Fast may be the slow class.
    if fast is not None and hasattr(made := fast(str(folder / row["file"])), "backend_tokenizer"):
        _write_serialised(made, folder)


def _characters(row: Mapping[str, Any], folder: Path) -> None:
    """``vocab.json`` of a CTC tokenizer."""
    tokens = [*row["special"], *row["characters"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")


_LOWER = "abcdefghijklmnopqrstuvwxyz"
_CHARACTERS = [chr(index) for index in [*range(33, 127), *range(161, 173), *range(174, 256)]] + list("–—‘’“”…€")
"""The characters of Latin texts, without blanks."""


def _pairs(first: str) -> Iterator[str]:
    return (a + b for a in first for b in _LOWER)


def _merged(words: Mapping[str, int]) -> tuple[list[tuple[str, str]], list[str]]:
    """The merges that build each word from its letters, from the left, and every intermediate token.

    The merge with the blank before a word comes last: earlier merges take precedence, and the table may contain the
    word without the blank.
    """
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        letters = _spelled(word.lstrip(" "))
        merges |= {(letters[:end], letters[end]): None for end in range(1, len(letters))}
    merges |= {(_spelled(" "), _spelled(word[1:])): None for word in words if word.startswith(" ")}
    return list(merges), list(dict.fromkeys("".join(pair) for pair in merges))


def _byte_names() -> Iterator[tuple[int, str]]:
    """GPT-2's names of bytes (its ``encoder.py``, ``bytes_to_unicode``): printable bytes are named by themselves."""
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
    """``tokenizer.json`` in a form that tokenizers 0.15 also reads: later ones write a merge as a list of two, and omit
    from ``Metaspace`` what its ``prepend_scheme`` implies."""
    content = json.loads(fast.backend_tokenizer.to_str())
    merges = content["model"].get("merges")
    if merges:
        content["model"]["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    for part in ("pre_tokenizer", "decoder"):
        for each in (content[part] or {}).get("pretokenizers", [content[part] or {}]):
            if each.get("type") == "Metaspace":
                each["add_prefix_space"] = each["prepend_scheme"] == "always"
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


_KINDS = {"byte-level": _byte_level, "word-pieces": _word_pieces, "unigram": _unigram, "characters": _characters}
