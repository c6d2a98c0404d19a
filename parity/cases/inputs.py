"""Reads ``--inputs``: JSON Lines of texts or of token ids, validated against the checkpoint before anything runs.

A line is ``{"text": …, "target": …}`` or ``{"input_ids": […], "labels": […]}``; the second key of each is optional, and
without it the source is its own target, as in denoising. A label of -100 is ignored by the loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from parity.checkpoint.tokenizer_process import TokenizerError, TokenizerMissing, TokenizerProcess
from parity.core.case import IGNORED
from parity.core.errors import InputError
from parity.core.model_spec import ModelSpec
from reference.errors import CheckpointError, brief
from reference.files import parse_json, read_bytes

Row = dict[str, list[int]]
LARGEST, LONGEST_TEXT = 64, 1_000_000
"""Limits: megabytes of an input file, and characters of one text."""


class Encode(Protocol):
    """A tokenizer: token ids of a text, or of a text and a second one after it, including special tokens."""

    def __call__(self, text: str, pair: str | None = None) -> list[int]: ...


KEYS = ({"text", "target"}, {"input_ids", "labels"})


class InputsFileError(InputError):
    """An input file cannot be used; the message is ``file:line: cause``."""


def read_inputs(path: Path, checkpoint: Path, model_spec: ModelSpec) -> list[Row]:
    """Rows for ``parity.cases.standard.standard_cases``.

    Args:
        checkpoint: the directory whose tokenizer files encode the texts.

    Returns:
        Rows with ``input_ids`` and, where the line has a target, ``labels``: lists of ids inside the vocabulary.

    Raises:
        InputsFileError: the model reads audio, which such a file cannot hold; invalid JSON, an unknown key, an empty
            row, an id outside the vocabulary, a row longer than the positions, an empty file, or texts without a
            tokenizer. The message names the file and the line.
    """
    try:
        # Not splitlines, which also splits at characters that a text may contain.
        lines = read_bytes(path, LARGEST).decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputsFileError(f"{path}: cannot be read: {_cause(error)}") from error
    except CheckpointError as error:
        raise InputsFileError(f"{path}: cannot be read: {error.cause}") from error
    if model_spec.speech is not None:
        raise InputsFileError(f"{path}: holds texts or ids, but {checkpoint} reads audio: omit --inputs")
    encode = _Lazy(checkpoint, model_spec.raw)
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(_row(_object(line), encode, model_spec))
            except InputsFileError as error:
                raise InputsFileError(f"{path}:{number}: {error}") from error.__cause__
    if not rows:
        raise InputsFileError(f"{path}: has no rows")
    return rows


class _Lazy:
    """The checkpoint's tokenizer, opened when the first text is encoded."""

    def __init__(self, checkpoint: Path, config: Mapping[str, Any]) -> None:
        self._checkpoint, self._config = checkpoint, config
        self._encode: Encode | None = None

    def __call__(self, text: str, pair: str | None = None) -> list[int]:
        if self._encode is None:
            self._encode = tokenizer(self._checkpoint, self._config)
        return self._encode(text, pair)


def _object(line: str) -> dict[str, Any]:
    try:
        found = parse_json(line.encode(), "row")
    except CheckpointError as error:
        broken = error.__cause__
        if isinstance(broken, json.JSONDecodeError):
            raise InputsFileError(f"invalid JSON at column {broken.colno}: {broken.msg}") from broken
        raise InputsFileError(error.cause) from error
    if not isinstance(found, dict):
        raise InputsFileError(f"a row must be a JSON object, not {type(found).__name__}")
    return found


def _row(found: dict[str, Any], encode: Encode, model_spec: ModelSpec) -> Row:
    kinds = [keys for keys in KEYS if set(found) <= keys]
    if not found or not kinds:
        unknown = sorted(set(found) - set().union(*KEYS))
        if unknown:
            raise InputsFileError(f"unknown key {brief(unknown[0])}")
        raise InputsFileError("a row must have text and target, or input_ids and labels")
    first, second = ("text", "target") if "text" in kinds[0] else ("input_ids", "labels")
    if first not in found:
        raise InputsFileError(f"{second!r} without {first!r}")
    row = {"input_ids": _ids(first, found[first], encode)}
    if found.get(second) is not None:
        row["labels"] = _ids(second, found[second], encode)
    for name, ids in row.items():
        _check_ids(name, ids, model_spec)
    return row


def _ids(key: str, value: Any, encode: Encode) -> list[int]:
    if key in ("text", "target"):
        if not isinstance(value, str):
            raise InputsFileError(f"{key} must be a string, not {type(value).__name__}")
        if not value:
            raise InputsFileError(f"{key} is empty")
        if len(value) > LONGEST_TEXT:
            raise InputsFileError(f"{key} has {len(value):,} characters, more than any model has positions")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise InputsFileError(f"{key} contains an unpaired surrogate")
        return encode(value)
    if not isinstance(value, list) or not all(type(token) is int for token in value):
        raise InputsFileError(f"{key} must be a list of integers")
    return value


def _check_ids(name: str, ids: list[int], model_spec: ModelSpec) -> None:
    vocab, longest = model_spec.vocab, model_spec.positions
    if name == "input_ids":
        vocab, longest = model_spec.source_vocab, model_spec.source_positions
    if not ids:
        raise InputsFileError(f"{name} is empty")
    if len(ids) > longest:
        raise InputsFileError(f"{name} has {len(ids)} ids, but the checkpoint has {longest} positions")
    for index, token in enumerate(ids):
        ignored = name == "labels" and token == IGNORED
        if not ignored and not 0 <= token < vocab:
            raise InputsFileError(f"{name}[{index}] is {brief(token)}, outside the vocabulary of {vocab}")


def tokenizer(checkpoint: Path, config: Mapping[str, Any]) -> Encode:
    """The checkpoint's own tokenizer: ``tokenizer.json``, else byte-level BPE from ``vocab.json`` and ``merges.txt``.

    The second is BART's slow tokenizer (BART page, ``BartTokenizer``): no space before the text, ``<s>`` and ``</s>``
    around it.

    It runs in a subprocess (``parity.checkpoint.tokenizer_process``).

    Raises:
        InputsFileError: the ``tokenizers`` library is not installed, or the directory has no readable tokenizer files.
            The returned function raises it where a text cannot be encoded.
    """
    whole, vocab, merges = (checkpoint / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if not whole.exists() and not (vocab.is_file() and merges.is_file()):
        raise InputsFileError(f"texts need {whole}, or vocab.json and merges.txt beside it; or use input_ids")
    try:
        kind, files = ("serialised", [whole]) if whole.exists() else ("byte-level", [vocab, merges])
        process = TokenizerProcess(kind, files)
    except TokenizerMissing as error:
        raise InputsFileError(f"{error}, or give input_ids") from error
    except TokenizerError as error:
        raise InputsFileError(str(error)) from error
    begin, end = (_as_list(config.get(name)) for name in ("bos_token_id", "eos_token_id"))

    def encoded(text: str, pair: str | None = None) -> list[int]:
        try:
            if whole.exists():
                return process.encode(text, pair)
            # As RoBERTa has pairs, the second text between two ends (tokenization_bart.py, 4.37.2).
            following = [] if pair is None else [*end, *process.encode(pair), *end]
            return [*begin, *process.encode(text), *end, *following]
        except TokenizerError as error:
            raise InputsFileError(str(error)) from error

    return encoded


def _as_list(token: Any) -> list[int]:
    """One token of a config, of several the first; none where it says none."""
    return [] if token is None else list(token[:1]) if isinstance(token, list) else [token]


def _cause(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
