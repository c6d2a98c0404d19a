"""Special and added tokens, which are matched literally in a text before it is split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reference.config import read_json
from reference.errors import CheckpointError, brief
from reference.tokenizer.characters import WHITE_SPACE
from reference.tokenizer.dialect import WhiteSpace
from reference.tokenizer.vocabulary import VOCABULARY_FILE, check_id, id_of

CONFIG_FILE, SPECIAL_FILE, ADDED_FILE = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
"""The documented tokens (BART page, ``BartTokenizer``)."""
_MORE = "additional_special_tokens"
MOST_ADDED = 20_000
"""Tokens that are matched literally at every position of a text."""


@dataclass(frozen=True)
class AddedToken:
    """An added token; ``lstrip`` and ``rstrip``: it absorbs the white space on that side (AddedToken's page)."""

    text: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class Added:
    """The added tokens in a checkpoint's files: token by role, all tokens, ids that may be absent from ``vocab.json``,
    and the file that error messages name."""

    roles: Mapping[str, str | None]
    tokens: tuple[AddedToken, ...]
    ids: Mapping[str, int]
    location: Path

    @property
    def special(self) -> frozenset[str]:
        return frozenset(token.text for token in self.tokens if token.special)


def read_settings(directory: Path | str) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``; empty if there is none.

    Raises:
        CheckpointError: it is not a JSON object, or a setting is not supported.
    """
    settings = _optional(directory, CONFIG_FILE)
    if settings.get("split_special_tokens"):
        cause = "split_special_tokens is set, which is not supported"
        raise CheckpointError(Path(directory) / CONFIG_FILE, cause)
    return settings


def read_added(directory: Path | str, settings: Mapping[str, Any], older_roles: bool = False) -> Added:
    """Reads the special and added tokens of a checkpoint.

    If the settings have ``added_tokens_decoder``, only that is read; otherwise the older files
    ``special_tokens_map.json`` and ``added_tokens.json`` (as in transformers 4.57.6,
    ``tokenization_utils_base.py:2234``).

    Args:
        older_roles: whether roles absent from the settings are read from ``special_tokens_map.json`` even though there
            is an ``added_tokens_decoder``; this is the case if the latter was derived from ``tokenizer.json``.

    Raises:
        CheckpointError: a file is not a JSON object, or a token in it is neither a text nor an object with ``content``.
    """
    location = Path(directory) / CONFIG_FILE
    known, ids = _decoder(settings.get("added_tokens_decoder", {}), location)
    named = {key: settings[key] for key in (*ROLES, _MORE) if key in settings}
    if older_roles:
        named = {k: v for k, v in _optional(directory, SPECIAL_FILE).items() if k in ROLES or k == _MORE} | named
    if "added_tokens_decoder" not in settings:
        named |= {k: v for k, v in _optional(directory, SPECIAL_FILE).items() if k in ROLES or k == _MORE}
        ids = _optional(directory, ADDED_FILE)
        location = _said_where(Path(directory))
        for text, number in ids.items():
            check_id(text, number, location)
            known[text] = AddedToken(text)
    roles: dict[str, str | None] = {}
    older = "added_tokens_decoder" not in settings
    for role, usual in ROLES.items():
        value = named.get(role, usual)
        roles[role] = None if value is None else _registered(value, role, location, known, older).text
    more = named.get(_MORE) or []
    if not isinstance(more, list):
        raise CheckpointError(location, f"{_MORE} is {brief(more)}, not a list of tokens")
    if len(known) + len(more) > MOST_ADDED:
        raise CheckpointError(location, f"{len(known) + len(more):,} added tokens, more than any tokenizer has")
    for value in more:
        _registered(value, _MORE, location, known, older)
    return Added(roles, tuple(known.values()), ids, location)


def _said_where(directory: Path) -> Path:
    """The file that error messages name for the older files: the one with the highest precedence."""
    there = [name for name in (ADDED_FILE, SPECIAL_FILE, CONFIG_FILE) if (directory / name).exists()]
    return directory / (there or [VOCABULARY_FILE])[0]


def _registered(value: Any, role: str, location: Path, known: dict[str, AddedToken], older: bool) -> AddedToken:
    """The token of a role, added to the known tokens; a mask token given as plain text absorbs the space before it."""
    token = _token(value, role, location)
    if isinstance(value, str):
        token = replace(token, lstrip=role == "mask_token")
    if token.text in known and not older:
        token = known[token.text]
    known[token.text] = replace(token, special=True)
    return known[token.text]


def _decoder(data: Any, location: Path) -> tuple[dict[str, AddedToken], dict[str, int]]:
    known: dict[str, AddedToken] = {}
    ids: dict[str, int] = {}
    if not isinstance(data, dict):
        raise CheckpointError(location, "added_tokens_decoder is not a JSON object of ids and tokens")
    for number, value in data.items():
        token = _token(value, f"added_tokens_decoder[{brief(number)}]", location)
        check_id(token.text, id_of(number), location)
        if token.text in ids:
            raise CheckpointError(
                location, f"added token {brief(token.text)} has two ids, {ids[token.text]} and {number}"
            )
        known[token.text], ids[token.text] = token, int(number)
    return known, ids


def _token(value: Any, name: str, location: Path) -> AddedToken:
    if isinstance(value, str):
        value = {"content": value}
    if not isinstance(value, dict) or not isinstance(value.get("content"), str) or not value["content"]:
        raise CheckpointError(
            location, f"{name} is {brief(value)}, neither a text nor an object with one as its content"
        )
    if value.get("single_word"):
        raise CheckpointError(
            location, f"{name}, {brief(value['content'])}, has single_word set, which is not supported"
        )
    flags = {flag: bool(value.get(flag, False)) for flag in ("special", "lstrip", "rstrip")}
    return AddedToken(value["content"], **flags)


def _optional(directory: Path | str, name: str) -> dict[str, Any]:
    """An optional JSON object of a checkpoint."""
    path = Path(directory) / name
    if not path.exists():
        return {}
    data = read_json(directory, name)
    if not isinstance(data, dict):
        raise CheckpointError(path, "not a JSON object")
    return data


class Splitter:
    """Splits a text at added tokens: leftmost match first, the longest of those that start there."""

    def __init__(self, tokens: Iterable[AddedToken], white_space: WhiteSpace) -> None:
        self.tokens = {token.text: token for token in tokens}
        longest_first = sorted(self.tokens, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)))
        self.white = str.isspace if white_space is WhiteSpace.PYTHON else WHITE_SPACE.__contains__

    def split(self, text: str) -> Iterator[tuple[AddedToken | None, int, int]]:
        """Added tokens, and None for the text between them, each with start and end; empty segments are omitted.

        White space absorbed by a token belongs to neither.
        """
        start, before = 0, None
        for found in (*self.pattern.finditer(text), None):
            token = None if found is None else self.tokens[found[0]]
            end = len(text) if found is None else found.start()
            while before is not None and before.rstrip and start < end and self.white(text[start]):
                start += 1
            while token is not None and token.lstrip and start < end and self.white(text[end - 1]):
                end -= 1
            if start < end:
                yield None, start, end
            if found is not None and token is not None:
                yield token, found.start(), found.end()
                start, before = found.end(), token
