"""What every family's ``config.json`` is read and checked with."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from reference.errors import CheckpointError

CONFIG_FILE = "config.json"
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
"""The documented ones (BART page, ``activation_function``); ``gelu`` is the exact one, by the error function."""


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


def object_of(data: Any, place: Path | str) -> Mapping[str, Any]:
    """What a config file holds, if it is a JSON object."""
    if not isinstance(data, Mapping):
        raise CheckpointError(place, f"holds {_kind(data)}, not a JSON object")
    return data


def check_model_type(data: Mapping[str, Any], known: Collection[str], place: Path | str) -> str:
    """The ``model_type``, if it is one of those known."""
    words = " or ".join(repr(name) for name in known)
    if "model_type" not in data:
        raise CheckpointError(place, f"has no model_type; only {words} can be read")
    if data["model_type"] not in known:
        raise CheckpointError(place, f"unknown model_type {data['model_type']!r}; only {words} can be read")
    return data["model_type"]


def check_sizes(values: Mapping[str, Any], names: Iterable[str], place: Path | str) -> None:
    for name in names:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(place, f"{name} is {value!r}, not a positive integer")


def check_switches(values: Mapping[str, Any], names: Iterable[str], place: Path | str) -> None:
    for name in names:
        if not isinstance(values[name], bool):
            raise CheckpointError(place, f"{name} is {values[name]!r}, not true or false")


def check_rates(values: Mapping[str, Any], names: Iterable[str], place: Path | str) -> None:
    """Probabilities, deviations, epsilons: numbers of at least 0."""
    for name in names:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise CheckpointError(place, f"{name} is {value!r}, not a number of at least 0")


def check_activation(values: Mapping[str, Any], name: str, place: Path | str) -> None:
    if values[name] not in ACTIVATIONS:
        raise CheckpointError(place, f"unknown {name} {values[name]!r}; known: {', '.join(ACTIVATIONS)}")


def check_heads(values: Mapping[str, Any], heads: str, width: str, place: Path | str) -> None:
    """The heads divide the width between them."""
    if values[width] % values[heads]:
        cause = f"{heads} is {values[heads]}, which does not divide {width} {values[width]}"
        raise CheckpointError(place, cause)


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
