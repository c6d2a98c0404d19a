"""The tokens of a checkpoint's tokenizer and their ids, for any kind of tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference.config import read_json
from reference.errors import CheckpointError, brief
from reference.files import read_bytes
from reference.tokenizer.added import ADDED_FILE, CONFIG_FILE, ROLES, SPECIAL_FILE
from reference.tokenizer.serialised import SERIALISED_FILE, Serialised, read_serialised
from reference.tokenizer.vocabulary import VOCABULARY_FILE, check_id, id_of, read_vocabulary

WORDS_FILE = "vocab.txt"
_USUAL = {
    "WordPiece": {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
    },
}
"""The documented tokens (BERT page, ``BertTokenizer``), used if no file defines them."""


@dataclass(frozen=True)
class Inventory:
    """The tokens of one tokenizer."""

    kind: str
    """``BPE``, ``WordPiece``, ``Unigram`` or ``WordLevel``; ``vocabulary`` if the files do not specify it."""
    file: str
    """The file that the vocabulary was read from."""
    ids: Mapping[str, int]
    roles: Mapping[str, str]
    """Special tokens by role, if defined in the files."""
    problems: tuple[str, ...]
    """Contradictions between the files, one clause each."""
    parting: tuple[tuple[str, int | None, int | None], ...] | None
    """Tokens whose ids in ``tokenizer.json`` and in ``vocab.json`` or ``vocab.txt`` differ, with both ids; None if
    there is only one file."""


def read_inventory(directory: Path | str) -> Inventory | None:
    """The tokens from ``tokenizer.json``, ``vocab.json`` or ``vocab.txt``; None if there is no such file.

    Raises:
        CheckpointError: a file is malformed, or an id is not an integer of at least 0.
    """
    folder = Path(directory)
    serialised, older = read_serialised(folder), _older_vocabulary(folder)
    if serialised is None and older is None:
        return None
    settings = {**_object(folder, SPECIAL_FILE), **_object(folder, CONFIG_FILE)}
    name, vocabulary = older or (SERIALISED_FILE, {})
    kind, problems = "WordPiece" if name == WORDS_FILE else "vocabulary", []
    ids = dict(serialised.ids if serialised else vocabulary)
    if serialised is not None:
        kind = serialised.kind
        problems += _of_the_serialised(serialised)
    for file, token, number in _listed(folder, settings):
        check_id(token, number, folder / file)
        if ids.setdefault(token, number) != number:
            problems.append(f"{brief(token)} has the id {ids[token]}, and {number} in {file}")
    roles = _roles(kind, settings, ids)
    problems += [
        f"{role} is {brief(token)}, which has no id in any file" for role, token in roles.items() if token not in ids
    ]
    problems += _doubles(ids)
    file_name = SERIALISED_FILE if serialised else name
    parting = _parting(serialised, vocabulary) if serialised and older else None
    return Inventory(kind, file_name, ids, roles, tuple(problems), parting)


def _parting(one: Serialised, other: Mapping[str, int]) -> tuple[tuple[str, int | None, int | None], ...]:
    """Tokens whose ids differ between the two files; an added token may be absent from the older file."""
    tokens = [token for token in {**one.vocabulary, **other} if one.ids.get(token) != other.get(token)]
    return tuple((token, one.ids.get(token), other.get(token)) for token in tokens)


def _of_the_serialised(found: Serialised) -> Iterator[str]:
    for token, number in found.added.items():
        if found.vocabulary.get(token, number) != number:
            own = found.vocabulary[token]
            yield f"added token {brief(token)} has the id {number}, and {own} in the vocabulary of {SERIALISED_FILE}"
    yield from frame_problems(found)
    unknown = found.data["model"].get("unk_token")
    if isinstance(unknown, str) and unknown and unknown not in found.ids:
        yield f"the unknown token is {brief(unknown)}, which has no id"
    number = found.data["model"].get("unk_id")
    if isinstance(number, int) and number >= len(found.vocabulary):
        yield f"the unknown token is number {number}, and the vocabulary has {len(found.vocabulary)}"


def frame_problems(found: Serialised) -> Iterator[str]:
    """Tokens added around a text whose ids differ from those in the vocabulary."""
    for token, number in found.frame:
        if found.ids.get(token) != number:
            own = found.ids.get(token)
            yield f"{brief(token)} is added around a text with id {brief(number)}, but its id is {own}"


def _older_vocabulary(folder: Path) -> tuple[str, dict[str, int]] | None:
    if (folder / VOCABULARY_FILE).exists():
        return VOCABULARY_FILE, read_vocabulary(folder)
    if (folder / WORDS_FILE).exists():
        return WORDS_FILE, _read_words(folder / WORDS_FILE)
    return None


def _read_words(path: Path) -> dict[str, int]:
    """One token per line, with the line number as id (BERT page, ``vocab_file``); the last of equal lines is used.

    Raises:
        CheckpointError: the file cannot be read, is not UTF-8, or is empty.
    """
    try:
        lines = read_bytes(path).decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(path, f"not UTF-8 text: byte {error.start}") from error
    if lines == [""]:
        raise CheckpointError(path, "contains no token")
    return {line: number for number, line in enumerate(lines)}


def _listed(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Added tokens outside the vocabulary file: file, token, id."""
    decoder = settings.get("added_tokens_decoder")
    for number, value in (decoder if isinstance(decoder, Mapping) else {}).items():
        text = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(text, str):
            yield CONFIG_FILE, text, id_of(number)
    for text, number in _object(folder, ADDED_FILE).items():
        yield ADDED_FILE, text, number


def _roles(kind: str, settings: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, str]:
    usual = {role: token for role, token in _USUAL.get(kind, {}).items() if token in ids}
    named = {role: _text(settings[role]) for role in ROLES if role in settings}
    return {role: text for role, text in {**usual, **named}.items() if text is not None}


def _text(value: Any) -> str | None:
    text = value.get("content") if isinstance(value, Mapping) else value
    return text if isinstance(text, str) else None


def _doubles(ids: Mapping[str, int]) -> Iterator[str]:
    owners: dict[int, str] = {}
    for token, number in ids.items():
        other = owners.setdefault(number, token)
        if other != token:
            yield f"{brief(other)} and {brief(token)} have the same id {number}"


def _object(folder: Path, name: str) -> dict[str, Any]:
    """An optional JSON object of a checkpoint.

    Raises:
        CheckpointError: the file is not a JSON object.
    """
    if not (folder / name).exists():
        return {}
    data = read_json(folder, name)
    if not isinstance(data, dict):
        raise CheckpointError(folder / name, "not a JSON object")
    return data
