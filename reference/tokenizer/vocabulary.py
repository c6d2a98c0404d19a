"""``vocab.json`` and ``merges.txt``, read and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference.config import read_json
from reference.errors import CheckpointError, brief
from reference.files import read_bytes

VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"
LARGEST_ID = 2**31 - 1


def read_vocabulary(directory: Path | str) -> dict[str, int]:
    """Token to id. Gaps in the ids are checked after added tokens are read (``check_ids``).

    Raises:
        CheckpointError: the file is missing, not a JSON object or empty, or an id is not an integer of at least 0.
    """
    data = read_json(directory, VOCABULARY_FILE)
    file = Path(directory) / VOCABULARY_FILE
    if not isinstance(data, dict) or not data:
        raise CheckpointError(file, "not a JSON object of tokens and ids")
    for token, number in data.items():
        check_id(token, number, file)
    return data


def check_id(token: str, number: Any, location: Path | str) -> None:
    """Checks that an id is an integer of at least 0, and that its token can be encoded in UTF-8."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise CheckpointError(location, f"the id of {brief(token)} is {brief(number)}, not an integer of at least 0")
    if number > LARGEST_ID:
        raise CheckpointError(location, f"the id of {brief(token)} is {brief(number)}, more than any table has")
    try:
        token.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(location, f"the token {brief(token)} contains an unpaired surrogate") from error


def id_of(key: str) -> int | str:
    """The id in a key of a JSON object; the key itself if it is not an integer."""
    return int(key) if key.isascii() and key.isdigit() and len(key) <= 18 else key


def check_ids(vocabulary: Mapping[str, int], location: Path | str) -> None:
    """Checks that ids are contiguous from 0 and unique.

    Raises:
        CheckpointError: two tokens have the same id, or an id below the largest has no token.
    """
    owners: dict[int, str] = {}
    for token, number in vocabulary.items():
        other = owners.setdefault(number, token)
        if other != token:
            raise CheckpointError(location, f"{brief(other)} and {brief(token)} have the same id {number}")
    missing = [number for number in range(len(owners)) if number not in owners]
    if missing:
        cause = f"no token has the id {missing[0]}: {len(owners)} tokens, the largest id is {max(owners)}"
        raise CheckpointError(location, cause)


def read_merges(directory: Path | str, vocabulary: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """The rank of each pair, 0 for the first. A first line that begins with ``#version`` is skipped.

    Raises:
        CheckpointError: the file is missing or not UTF-8, a line does not have two words or repeats an earlier one, or
            a word or the merged token is not in the vocabulary; the message has the line number.
    """
    file = Path(directory) / MERGES_FILE
    ranks: dict[tuple[str, str], int] = {}
    for number, line in _lines(file):
        words = line.split(" ")
        if len(words) != 2 or not all(words):
            raise CheckpointError(file, f"line {number} is not two words: {brief(line)}")
        pair = (words[0], words[1])
        if pair in ranks:
            raise CheckpointError(file, f"line {number} repeats an earlier one: {brief(line)}")
        for token in (*pair, pair[0] + pair[1]):
            if token not in vocabulary:
                raise CheckpointError(
                    file, f"line {number}, {brief(line)}: unknown token {brief(token)}, not in {VOCABULARY_FILE}"
                )
        ranks[pair] = len(ranks)
    return ranks


def _lines(file: Path) -> list[tuple[int, str]]:
    try:
        text = read_bytes(file).decode()
    except UnicodeDecodeError as error:
        raise CheckpointError(
            file, f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error
    # Not splitlines, which also splits at characters that a word may contain.
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, start=1)]
    return numbered[1:] if lines[0].startswith("#version") or not text.strip("\r\n") else numbered
