"""Validation of ``config.json`` fields, shared by all architectures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from reference.errors import CheckpointError, brief

CONFIG_FILE = "config.json"
LARGEST_SIZE, LARGEST_RATE, MOST_LABELS = 2**31 - 1, 1e30, 100_000
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
"""The documented activations (BART page, ``activation_function``); ``gelu`` is exact, with the error function."""


def object_of(data: Any, location: Path | str) -> Mapping[str, Any]:
    """The content of a config file, checked to be a JSON object."""
    if not isinstance(data, Mapping):
        raise CheckpointError(location, f"contains {kind_of(data)}, not a JSON object")
    return data


def check_model_type(data: Mapping[str, Any], known: Collection[str], location: Path | str) -> str:
    """The ``model_type``, checked to be one of ``known``."""
    words = " or ".join(repr(name) for name in known)
    if "model_type" not in data:
        raise CheckpointError(location, f"has no model_type; only {words} can be read")
    if data["model_type"] not in known:
        raise CheckpointError(location, f"unknown model_type {brief(data['model_type'])}; only {words} can be read")
    return data["model_type"]


def check_sizes(values: Mapping[str, Any], names: Iterable[str], location: Path | str) -> None:
    for name in names:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(location, f"{name} is {brief(value)}, not a positive integer")
        if value > LARGEST_SIZE:
            raise CheckpointError(location, f"{name} is {brief(value)}, more than any model has ({LARGEST_SIZE:,})")


def check_switches(values: Mapping[str, Any], names: Iterable[str], location: Path | str) -> None:
    for name in names:
        if not isinstance(values[name], bool):
            raise CheckpointError(location, f"{name} is {brief(values[name])}, not true or false")


def check_rates(values: Mapping[str, Any], names: Iterable[str], location: Path | str) -> None:
    """Checks that probabilities, standard deviations and epsilons are numbers of at least 0."""
    for name in names:
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST_RATE:
            raise CheckpointError(location, f"{name} is {brief(value)}, not a number of at least 0")


def check_labels(others: Mapping[str, Any], location: Path | str) -> None:
    """Checks the fields that define the number of classes of a head and their names."""
    labels, count = others.get("id2label"), others.get("num_labels")
    if labels is not None and not isinstance(labels, Mapping):
        raise CheckpointError(location, f"id2label is {brief(labels)}, not a JSON object of ids and names")
    if count is not None:
        check_sizes(others, ("num_labels",), location)
        # The library's config creates a name for each label, for every model class.
        if count > MOST_LABELS:
            raise CheckpointError(location, f"num_labels is {count}, more than any head has ({MOST_LABELS:,})")


def check_activation(values: Mapping[str, Any], name: str, location: Path | str) -> None:
    if values[name] not in ACTIVATIONS:
        raise CheckpointError(location, f"unknown {name} {brief(values[name])}; known: {', '.join(ACTIVATIONS)}")


def check_heads(values: Mapping[str, Any], heads: str, width: str, location: Path | str) -> None:
    """Checks that the width is divisible by the number of heads."""
    if values[width] % values[heads]:
        cause = f"{heads} is {values[heads]}, which does not divide {width} {values[width]}"
        raise CheckpointError(location, cause)


def kind_of(value: Any) -> str:
    """The JSON type of a value, for messages where an object was expected."""
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
