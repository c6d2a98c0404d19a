"""The files of a CTranslate2 directory: conversion, vocabulary, and the parameters of ``model.bin``."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.engines.conversion import UnusableFiles
from reference.config import BartConfig, read_config
from reference.config.tokens import Tokens
from reference.names import LOGITS_BIAS, POSITION_OFFSET, SHARED, expected_parameters

MODEL, CONFIG = "model.bin", "config.json"
VOCABULARIES = ("shared_vocabulary.json", "target_vocabulary.json")
QUANTISED = {
    "int8": ("int8", "int8"),
    "int8-weights": ("int8", "float32"),
    "bfloat16-weights": ("bfloat16", "float32"),
    "float16-weights": ("float16", "float32"),
}
"""By name of ``--quantised``: ``quantization`` of the converter, and ``compute_type`` of the engine."""
SUPPLIED = {
    "tokenizer": "one token for each id",
    "normalize_before": "false where config.json does not have it",
}
"""What the conversion adds to a checkpoint; it changes no weight. The engine takes tokens as words, and the converter
reads a field that transformers does not write, although every BART normalises after its layers."""
BINARY_VERSION, SPEC, REVISION = 6, "TransformerSpec", 7
"""Of ``model.bin`` as 4.8.5 writes it."""
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16, 5: np.uint16}
"""By number; 5 is bfloat16, whose bits are read as integers."""


def convert(checkpoint: Path, folder: Path, quantization: str) -> None:
    """Runs ``ctranslate2.converters.TransformersConverter`` into ``folder``, with what ``SUPPLIED`` names.

    Raises:
        ValueError: as the converter raises it, for a checkpoint of another architecture.
    """
    from ctranslate2.converters import TransformersConverter

    config = _bart(checkpoint)

    class Converter(TransformersConverter):
        def load_model(self, model_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
            # Read in float32 whatever the file has: the converter otherwise stores the file's dtype.
            model = super().load_model(model_class, model_name_or_path, **{**kwargs, "dtype": "float32"})
            if not hasattr(model.config, "normalize_before"):
                model.config.normalize_before = False
            return model

        def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
            return _Tokens(config)

    Converter(str(checkpoint)).convert(str(folder), quantization=quantization, force=True)


class _Tokens:
    """A tokenizer as far as the converter uses one: ``token N`` is the word of id N.

    The words of the checkpoint's own tokenizer would do as well, but need not be distinct or cover the vocabulary.
    """

    def __init__(self, config: BartConfig) -> None:
        self._size = config.vocab_size
        self.bos_token, self.eos_token = (_word(_first(each)) for each in (config.bos_token_id, config.eos_token_id))
        # The converter requires an unknown token; no id is unknown here.
        self.unk_token = _word(next(i for i in range(3, self._size) if i != _first(config.eos_token_id)))

    def get_vocab(self) -> dict[str, int]:
        return {_word(index): index for index in range(self._size)}

    def convert_ids_to_tokens(self, index: int) -> str:
        return _word(index)


def _first(tokens: Tokens) -> int:
    """The token, the first of several, or 0."""
    return tokens[0] if isinstance(tokens, tuple) else tokens or 0


def _word(index: int) -> str:
    return f"token{index}"


def _bart(checkpoint: Path) -> BartConfig:
    config = read_config(checkpoint)
    if not isinstance(config, BartConfig):
        raise ValueError(f"{checkpoint}: not a BART checkpoint")
    return config


@dataclass(frozen=True)
class Layout:
    """The vocabulary of a converted directory, and special tokens.

    Attributes:
        vocabulary: the word of each id.
        engine_start: the id of the start token that the directory has; -1 if it has none.
        pad, start: of the checkpoint.
        tied: groups of canonical names with one table.
    """

    vocabulary: tuple[str, ...]
    index: Mapping[str, int]
    engine_start: int
    pad: int
    start: int
    tied: list[list[str]]

    @classmethod
    def read(cls, directory: Path, checkpoint: Path) -> Layout:
        """
        Raises:
            UnusableFiles: a file is missing, or is not what the converter writes.
        """
        config = _bart(checkpoint)
        words, held = _vocabulary(directory), _json(directory / CONFIG, dict)
        index = {word: number for number, word in enumerate(words)}
        return cls(
            tuple(words),
            index,
            engine_start=index.get(held.get("decoder_start_token") or "", -1),
            pad=_first(config.pad_token_id),
            start=_first(config.decoder_start_token_id),
            tied=_tied(variables(directory)),
        )

    def words(self, ids: Iterable[int]) -> list[str]:
        return [self.vocabulary[int(each)] for each in ids]

    def ids(self, words: Iterable[str]) -> list[int]:
        return [self.index[word] for word in words]


def _tied(found: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The embeddings and the head that are one variable of the file."""
    groups: dict[int, list[str]] = {}
    for name, value in found.items():
        for canonical, _ in _canonical(name, value):
            if canonical.endswith(TABLES):
                groups.setdefault(id(value), []).append(canonical)
    return [sorted(names) for names in groups.values() if len(names) > 1]


def examine(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Fields of the engine's row for given files: none.

    Raises:
        UnusableFiles: a file is missing, truncated or of another form.
    """
    if not (folder / MODEL).is_file():
        raise UnusableFiles(f"{folder}: has no {MODEL}: not a directory that ctranslate2 wrote")
    variables(folder)
    _vocabulary(folder)
    return {}


def _vocabulary(directory: Path) -> list[str]:
    place = next((directory / name for name in VOCABULARIES if (directory / name).is_file()), None)
    if place is None:
        raise UnusableFiles(f"{directory}: has no {VOCABULARIES[0]}")
    words = _json(place, list)
    if len({*map(str, words)}) != len(words):
        raise UnusableFiles(f"{place}: a token occurs twice, so that its id is ambiguous")
    return words


def _json(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableFiles(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, kind):
        raise UnusableFiles(f"{path}: not what ctranslate2 writes")
    return found


def variables(directory: Path) -> dict[str, np.ndarray]:
    """Every variable of ``model.bin`` by name; aliases are the same array.

    Raises:
        UnusableFiles: the file is truncated, or of another version.
    """
    path = directory / MODEL
    try:
        return _Reader(path.read_bytes()).read()
    except (OSError, struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise UnusableFiles(f"{path}: cannot be read: {error}") from error


def write_variables(directory: Path, held: Mapping[str, np.ndarray]) -> None:
    """Replaces ``model.bin`` by one with these variables, without aliases; for files that are changed on purpose."""
    kinds = {np.dtype(kind): number for number, kind in _TYPES.items()}

    def text(word: str) -> bytes:
        return struct.pack("H", len(word) + 1) + word.encode() + b"\0"

    parts = [struct.pack("I", BINARY_VERSION), text(SPEC), struct.pack("I", REVISION), struct.pack("I", len(held))]
    for name, value in held.items():
        parts += [text(name), struct.pack("B", value.ndim), *(struct.pack("I", size) for size in value.shape)]
        parts += [struct.pack("B", kinds[value.dtype]), struct.pack("I", value.nbytes), value.tobytes()]
    (directory / MODEL).write_bytes(b"".join([*parts, struct.pack("I", 0)]))


class _Reader:
    """``BINARY_VERSION``: name, revision, variables (name, shape, type, bytes), aliases."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self) -> dict[str, np.ndarray]:
        version = self._number("I")
        if version != BINARY_VERSION:
            raise ValueError(f"binary version {version}, known is {BINARY_VERSION}")
        name, revision = self._text(), self._number("I")
        if (name, revision) != (SPEC, REVISION):
            raise ValueError(f"{name!r:.60} of revision {revision}, known is {SPEC} of revision {REVISION}")
        found = dict(self._variable() for _ in range(self._number("I")))
        for _ in range(self._number("I")):
            alias, name = self._text(), self._text()
            found[alias] = found[name]
        return found

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError(f"truncated at byte {len(self._data)}")
        self._at += size
        return taken

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self) -> str:
        return self._take(self._number("H"))[:-1].decode()

    def _variable(self) -> tuple[str, np.ndarray]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = _TYPES[self._number("B")]
        return name, np.frombuffer(self._take(self._number("I")), kind).reshape(shape)


TABLES = ("embed_tokens.weight", "shared.weight", "lm_head.weight")
_LAYER = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
    "ffn/layer_norm": "final_layer_norm",
}
_FUSED = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
}
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def parameters_of(directory: Path, checkpoint: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Canonical names and values of ``model.bin``.

    The first two rows of BART's position tables are not in the file, because no position uses them: they are the
    checkpoint's. A bias of zeros on the logits is not in the file either.

    Raises:
        UnusableFiles: as ``variables``.
    """
    found, expected = variables(directory), expected_parameters(_bart(checkpoint))
    rows = _unused_positions(checkpoint)
    for name, value in found.items():
        for canonical, array in _canonical(name, value):
            if canonical.endswith("embed_positions.weight") and canonical in rows:
                array = np.concatenate([rows[canonical].astype(array.dtype), array])
            yield canonical, array
    if "decoder/projection/bias" not in found:
        yield LOGITS_BIAS, np.zeros(expected[LOGITS_BIAS].shape, np.float32)


def _unused_positions(checkpoint: Path) -> dict[str, np.ndarray]:
    from reference.weights import cast, read_weights

    weights = read_weights(checkpoint, _bart(checkpoint))
    return {name: cast(weights[name][:POSITION_OFFSET], "float32") for name in weights if "embed_positions" in name}


def _canonical(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    half, _, rest = name.partition("/")
    module, _, kind = rest.rpartition("/")
    if name == "decoder/projection/bias":
        yield LOGITS_BIAS, value[None]
    elif name == "decoder/projection/weight":
        yield "lm_head.weight", value
    elif kind == "encodings":
        yield f"model.{half}.embed_positions.weight", value
    elif module in ("embeddings", "embeddings_0"):
        if kind == "weight":
            yield f"model.{half}.embed_tokens.weight", value
            if half == "encoder":
                yield SHARED, value
    elif module == "layernorm_embedding":
        yield f"model.{half}.layernorm_embedding.{_KINDS[kind]}", value
    elif module.startswith("layer_") and kind in _KINDS:
        layer, _, part = module.removeprefix("layer_").partition("/")
        names = _FUSED.get(part) or (_LAYER[part],)
        for piece, array in zip(names, np.split(value, len(names)), strict=True):
            yield f"model.{half}.layers.{layer}.{piece}.{_KINDS[kind]}", array
