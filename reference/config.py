"""The sizes and switches of a BART, read from ``config.json`` and checked before any weight is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from reference.errors import CheckpointError

CONFIG_FILE = "config.json"
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
"""The documented ones (BART page, ``activation_function``); ``gelu`` is the exact one, by the error function."""

_SIZES = (
    "vocab_size", "max_position_embeddings", "d_model", "encoder_layers", "encoder_ffn_dim", "encoder_attention_heads",
    "decoder_layers", "decoder_ffn_dim", "decoder_attention_heads",
)  # fmt: skip
_SWITCHES = ("scale_embedding", "tie_word_embeddings", "use_cache")
_TOKENS = ("pad_token_id", "eos_token_id", "decoder_start_token_id")
_OPTIONAL_TOKENS = ("bos_token_id", "forced_bos_token_id", "forced_eos_token_id")
_RATES = ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop", "init_std")


@dataclass(frozen=True)
class BartConfig:
    """A BART encoder-decoder, fields and defaults as documented (BART page, ``BartConfig``).

    Sizes are counts; ``*_dropout`` are probabilities, used in training only. ``others`` keeps the keys of the file
    that say nothing about the computation (generation settings, labels, versions …).
    """

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    activation_function: str = "gelu"
    scale_embedding: bool = False
    tie_word_embeddings: bool = True
    use_cache: bool = True
    dropout: int | float = 0.1
    attention_dropout: int | float = 0.0
    activation_dropout: int | float = 0.0
    encoder_layerdrop: int | float = 0.0
    decoder_layerdrop: int | float = 0.0
    init_std: int | float = 0.02
    pad_token_id: int = 1
    bos_token_id: int | None = 0
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = 2
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_dict(cls, data: Any, path: Path | str | None = None) -> BartConfig:
        """A config from the content of a ``config.json``; absent keys take the documented defaults.

        Args:
            data: what the file holds, a JSON object if it is right.
            path: the file named in errors; ``config.json`` where it is None.

        Raises:
            CheckpointError: ``model_type`` is absent or not ``bart``, a size is no positive integer, the heads do not
                divide ``d_model``, the activation is not documented, or a token id lies outside the vocabulary.
        """
        place = CONFIG_FILE if path is None else path
        if not isinstance(data, Mapping):
            raise CheckpointError(place, f"holds {_kind(data)}, not a JSON object")
        _check_model_type(data, place)
        values = {f.name: data.get(f.name, f.default) for f in fields(cls) if f.name != "others"}
        _check_sizes(values, place)
        _check_heads(values, place)
        _check_tokens(values, place)
        return cls(**values, others={key: value for key, value in data.items() if key not in values})

    @classmethod
    def read(cls, directory: Path | str) -> BartConfig:
        """Reads ``directory/config.json``.

        Raises:
            CheckpointError: there is no such directory, no such file, it is not JSON (line and column are named), or
                what it says is not a BART that can be built (see ``from_dict``).
        """
        return cls.from_dict(read_json(directory, CONFIG_FILE), Path(directory) / CONFIG_FILE)


def read_json(directory: Path | str, name: str) -> Any:
    """The content of one JSON file of a checkpoint.

    Raises:
        CheckpointError: no such directory or file, or it is not UTF-8 JSON; line and column are named.
    """
    directory = Path(directory)
    path = directory / name
    if not directory.is_dir():
        raise CheckpointError(directory, "not a directory" if directory.exists() else "no such directory")
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(path, "no such file") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(path, f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(
            path, f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise CheckpointError(path, f"not JSON that can be read: {type(error).__name__}: {error}") from error


def _check_model_type(data: Mapping[str, Any], place: Path | str) -> None:
    if "model_type" not in data:
        raise CheckpointError(place, "has no model_type; only 'bart' can be read")
    if data["model_type"] != "bart":
        raise CheckpointError(place, f"unknown model_type {data['model_type']!r}; only 'bart' can be read")


def _check_sizes(values: Mapping[str, Any], place: Path | str) -> None:
    for name in _SIZES:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(place, f"{name} is {value!r}, not a positive integer")
    for name in _SWITCHES:
        if not isinstance(values[name], bool):
            raise CheckpointError(place, f"{name} is {values[name]!r}, not true or false")
    for name in _RATES:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise CheckpointError(place, f"{name} is {value!r}, not a number of at least 0")
    if values["activation_function"] not in ACTIVATIONS:
        cause = f"unknown activation_function {values['activation_function']!r}; known: {', '.join(ACTIVATIONS)}"
        raise CheckpointError(place, cause)


def _check_heads(values: Mapping[str, Any], place: Path | str) -> None:
    for stack in ("encoder", "decoder"):
        heads, d_model = values[f"{stack}_attention_heads"], values["d_model"]
        if d_model % heads:
            raise CheckpointError(place, f"{stack}_attention_heads is {heads}, which does not divide d_model {d_model}")


def _check_tokens(values: Mapping[str, Any], place: Path | str) -> None:
    vocab = values["vocab_size"]
    for name in (*_TOKENS, *_OPTIONAL_TOKENS):
        value = values[name]
        if value is None and name in _OPTIONAL_TOKENS:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise CheckpointError(place, f"{name} is {value!r}, not a token id")
        if not 0 <= value < vocab:
            raise CheckpointError(place, f"{name} is {value}, outside the vocabulary of {vocab} (0 to {vocab - 1})")


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
