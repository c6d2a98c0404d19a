"""Checks, before any layer is created, that the model size in a config matches the size of its weights.

A config of a few bytes may define 100,000 layers, or a table of a terabyte. The size is extrapolated exactly from the
tables of names for one and for two layers, at negligible cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from reference.config import Config, EncoderDecoderConfig, Gpt2Config, SpeechConfig
from reference.errors import CheckpointError
from reference.names import table_of
from reference.weights.stored import DTYPES, Opened

MOST_TIMES = 4
"""The maximum ratio of the config's element or tensor count to that of the weights. A checkpoint without some layers,
or without a half of its composition, is below it, so that the missing parameters are reported by name."""
SPARE_NUMBERS, SPARE_TENSORS = 1 << 24, 1000
"""Amounts that are permitted in addition, regardless of the files, because they are cheap."""
_MOST_CONVOLUTIONS = 1000
_LAYERS = (
    "encoder_layers",
    "decoder_layers",
    "num_hidden_layers",
    "n_layer",
    "num_adapter_layers",
)


def check_requested_size(config: Config, model_class: str | None, opened: Opened, location: Path | str) -> None:
    """Checks that the model size in a config is compatible with the headers of the weight files.

    Args:
        model_class: the documented class to build; None for the default of the architecture.
        location: the path of the config in error messages.

    Raises:
        CheckpointError: the config has more than ``MOST_TIMES`` as many elements or tensors.
    """
    masks = 0
    for half in (config.encoder, config.decoder) if isinstance(config, EncoderDecoderConfig) else (config,):
        if isinstance(half, SpeechConfig) and len(half.conv_dim) > _MOST_CONVOLUTIONS:
            raise CheckpointError(location, f"defines {len(half.conv_dim):,} convolutions")
        if isinstance(half, Gpt2Config):
            # The library allocates a mask of one byte per pair of positions in every layer (modeling_gpt2.py, 4.57.6).
            masks = half.n_layer * half.n_positions**2 // 4
    numbers, tensors = requested_size(config, model_class)
    numbers += masks
    held = sum(map(_numbers, opened.tensors.values()))
    _compare(location, numbers, held, SPARE_NUMBERS, "numbers")
    _compare(location, tensors, len(opened.tensors), SPARE_TENSORS, "tensors")


def _compare(location: Path | str, requested: int, held: int, spare: int, what: str) -> None:
    if requested > MOST_TIMES * held + spare:
        cause = f"defines a model with {requested:,} {what}, but its weight files have {held:,}"
        raise CheckpointError(location, f"{cause}; the limit is {MOST_TIMES} times as many")


def _numbers(stored: Any) -> int:
    """The number of elements that a tensor may represent: quantised tensors pack two or more per byte."""
    packed = "float" not in stored.dtype
    return math.prod(stored.shape) * (2 * DTYPES[stored.dtype].itemsize if packed else 1)


def requested_size(config: Config, model_class: str | None = None) -> tuple[int, int]:
    """The number of elements and of tensors of a config's model.

    Args:
        model_class: a documented class; None for the default of the architecture.
    """
    # First one layer in every stack, then two in each stack in turn; all layers of a stack have the same size.
    small = _with_layers(config, {})
    numbers, tensors = base = _of_table(small, model_class)
    for where, count in _stacks(config):
        more = _of_table(_with_layers(config, {where: 2}), model_class)
        numbers += (count - 1) * (more[0] - base[0])
        tensors += (count - 1) * (more[1] - base[1])
    return numbers, tensors


Where = tuple[str, str]
"""A half ("" without halves), and the field with its number of layers."""


def _stacks(config: Config) -> Iterator[tuple[Where, int]]:
    halves = ("encoder", "decoder") if isinstance(config, EncoderDecoderConfig) else ("",)
    for half in halves:
        own = getattr(config, half) if half else config
        yield from (((half, name), getattr(own, name)) for name in _LAYERS if hasattr(own, name))


def _with_layers(config: Config, layers: dict[Where, int]) -> Config:
    """A copy of the config with these numbers of layers, one if not given."""
    if isinstance(config, EncoderDecoderConfig):
        halves = {half: _of_half(getattr(config, half), half, layers) for half in ("encoder", "decoder")}
        return replace(config, **halves)
    return _of_half(config, "", layers)


def _of_half(config: Any, half: str, layers: dict[Where, int]) -> Any:
    return replace(config, **{name: layers.get((half, name), 1) for name in _LAYERS if hasattr(config, name)})


def _of_table(config: Config, model_class: str | None) -> tuple[int, int]:
    shapes = table_of(config, model_class).shapes
    return sum(map(math.prod, shapes.values())), len(shapes)
