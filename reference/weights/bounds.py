"""Whether a config asks for a model of another size than its weights: found before a single layer is listed.

A config of a few bytes may ask for 100,000 layers, or for a table of a terabyte. What it asks for is counted from the
tables of one layer and of two, so that the count costs nothing, and is exact.
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
"""How many times the weights' numbers, or tensors, a config may ask for. A checkpoint that lacks layers, or a half of
its composition, lies below: what it lacks is told by name."""
SPARE_NUMBERS, SPARE_TENSORS = 1 << 24, 1000
"""What a config may ask for besides, however little the files hold: it costs a moment."""
_MOST_CONVOLUTIONS = 1000
_LAYERS = (
    "encoder_layers",
    "decoder_layers",
    "num_hidden_layers",
    "n_layer",
    "num_adapter_layers",
)


def check_amount_asked(config: Config, model_class: str | None, opened: Opened, place: Path | str) -> None:
    """That the model a config asks for is not of another size than what the weight files' headers hold.

    Args:
        model_class: the documented class it is to be built as; None for the family's first.
        place: the config's file, which errors name.

    Raises:
        CheckpointError: it asks for more than ``MOST_TIMES`` as many numbers or tensors.
    """
    masks = 0
    for half in (config.encoder, config.decoder) if isinstance(config, EncoderDecoderConfig) else (config,):
        if isinstance(half, SpeechConfig) and len(half.conv_dim) > _MOST_CONVOLUTIONS:
            raise CheckpointError(place, f"asks for {len(half.conv_dim):,} convolutions")
        if isinstance(half, Gpt2Config):
            # The library makes a mask of a byte for each pair of positions, in every layer (modeling_gpt2.py, 4.57.6).
            masks = half.n_layer * half.n_positions**2 // 4
    numbers, tensors = amount_asked(config, model_class)
    numbers += masks
    held = sum(map(_numbers, opened.tensors.values()))
    _compare(place, numbers, held, SPARE_NUMBERS, "numbers")
    _compare(place, tensors, len(opened.tensors), SPARE_TENSORS, "tensors")


def _compare(place: Path | str, asked: int, held: int, spare: int, what: str) -> None:
    if asked > MOST_TIMES * held + spare:
        cause = f"asks for a model of {asked:,} {what}, and its weight files hold {held:,}"
        raise CheckpointError(place, f"{cause}; more than {MOST_TIMES} times as many are not built")


def _numbers(stored: Any) -> int:
    """Numbers that a tensor may stand for: quantised ones are packed, two or more to the byte."""
    packed = "float" not in stored.dtype
    return math.prod(stored.shape) * (2 * DTYPES[stored.dtype].itemsize if packed else 1)


def amount_asked(config: Config, model_class: str | None = None) -> tuple[int, int]:
    """How many numbers, and how many tensors, the model of a config has.

    Args:
        model_class: a documented class; None for the family's first.
    """
    # One layer in every stack, then two in one stack after the other: each layer of a stack is like the next.
    small = _with_layers(config, {})
    numbers, tensors = base = _of_table(small, model_class)
    for where, count in _stacks(config):
        more = _of_table(_with_layers(config, {where: 2}), model_class)
        numbers += (count - 1) * (more[0] - base[0])
        tensors += (count - 1) * (more[1] - base[1])
    return numbers, tensors


Where = tuple[str, str]
"""A half, or "" where there are none; and the field that says how many layers it has."""


def _stacks(config: Config) -> Iterator[tuple[Where, int]]:
    halves = ("encoder", "decoder") if isinstance(config, EncoderDecoderConfig) else ("",)
    for half in halves:
        own = getattr(config, half) if half else config
        yield from (((half, name), getattr(own, name)) for name in _LAYERS if hasattr(own, name))


def _with_layers(config: Config, layers: dict[Where, int]) -> Config:
    """The same config with these numbers of layers, and one wherever none is given."""
    if isinstance(config, EncoderDecoderConfig):
        halves = {half: _of_half(getattr(config, half), half, layers) for half in ("encoder", "decoder")}
        return replace(config, **halves)
    return _of_half(config, "", layers)


def _of_half(config: Any, half: str, layers: dict[Where, int]) -> Any:
    return replace(config, **{name: layers.get((half, name), 1) for name in _LAYERS if hasattr(config, name)})


def _of_table(config: Config, model_class: str | None) -> tuple[int, int]:
    shapes = table_of(config, model_class).shapes
    return sum(map(math.prod, shapes.values())), len(shapes)
