"""What every format's reader gives: tensors as they stand in the file, read when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reference.errors import CheckpointError
from reference.names import Layout
from reference.weights.cast import BFLOAT16

DTYPES: dict[str, np.dtype] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": BFLOAT16,
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int16": np.dtype("<i2"),
    "int8": np.dtype("i1"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
"""The types that are read, by the name used in findings. No float8: no BART is kept in one."""


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: what it says of itself, and how to read it.

    ``read`` gives a fresh array of ``shape``. ``identity`` is equal for two names that share bytes on purpose.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    identity: object = None


@dataclass
class Opened:
    """One or several weight files, indexed: raw name to tensor, in the order of the file."""

    layout: Layout
    tensors: dict[str, Stored] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """Names of entries that are no tensors."""


def read_span(path: Path, offset: int, count: int, dtype: np.dtype) -> np.ndarray:
    """``count`` elements of a file, one-dimensional, from a byte offset.

    Raises:
        CheckpointError: the file cannot be opened, or ended since it was indexed.
    """
    try:
        array = np.fromfile(path, dtype, count, offset=offset)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror or error}") from error
    if array.size != count:
        raise CheckpointError(path, f"truncated: {count * dtype.itemsize} bytes wanted at offset {offset}")
    return array


def check_shape(path: Path, name: str, shape: object) -> tuple[int, ...]:
    """A shape as read from a file: non-negative integers whose product can be an array's size.

    Raises:
        CheckpointError: it is anything else.
    """
    if not isinstance(shape, list | tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise CheckpointError(path, f"tensor {name!r} has no usable shape: {shape!r:.80}")
    if len(shape) > 32 or math.prod(shape) >= 1 << 48:
        raise CheckpointError(path, f"tensor {name!r} has no usable shape: {shape!r:.80}")
    return tuple(shape)
