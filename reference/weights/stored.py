"""What every format's reader gives: tensors as they stand in the file, read when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import MEGABYTE, open_file
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


LARGEST_ARRAY = 1 << 48
"""Elements that no array has."""
LONGEST_NAME = 4096
"""Characters of a tensor's name."""
MOST_TENSORS = 100_000
"""In one file; the largest BART has 512."""
MOST_COPIES = 16
"""How many times a file's size its tensors may take together (``check_amount``)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file: what it says of itself, and how to read it.

    ``read`` gives a fresh array of ``shape``. ``identity`` is equal for two names that share bytes on purpose.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    identity: object = None

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


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
    with open_file(path) as file:
        array = np.fromfile(file, dtype, count, offset=offset)
    if array.size != count:
        raise CheckpointError(path, f"truncated: {count * dtype.itemsize} bytes wanted at offset {offset}")
    return array


def check_shape(path: Path, name: str, shape: object) -> tuple[int, ...]:
    """A shape as read from a file: non-negative integers whose product can be an array's size.

    Raises:
        CheckpointError: it is anything else.
    """
    found = check_axes(path, name, shape)
    # An axis of none beside others of immense size: numpy refuses that too.
    if math.prod(size or 1 for size in found) >= LARGEST_ARRAY:
        raise CheckpointError(path, f"tensor {brief(name)} has no usable shape: {brief(shape, 80)}")
    return found


def check_axes(path: Path, name: str, sizes: Any) -> tuple[int, ...]:
    """A non-negative integer of usual size for each axis of an array: its shape, or its strides.

    Raises:
        CheckpointError: it is anything else.
    """
    usable = isinstance(sizes, list | tuple) and len(sizes) <= 32
    if not usable or not all(type(size) is int and 0 <= size < LARGEST_ARRAY for size in sizes):
        raise CheckpointError(path, f"tensor {brief(name)} has no usable shape: {brief(sizes, 80)}")
    return tuple(sizes)


def check_name(path: Path, name: str) -> str:
    """A tensor's name, if it is one that can be written down.

    Raises:
        CheckpointError: it is longer than any is, or holds half a surrogate pair, which no encoding can.
    """
    if len(name) > LONGEST_NAME:
        raise CheckpointError(path, f"tensor {brief(name, 60)} has a name of {len(name):,} characters")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(path, f"tensor {brief(name)} has a name that is no text") from error
    return name


def check_amount(path: Path, size: int, wanted: int) -> None:
    """That a file's tensors are not many times larger than the file.

    Tensors may share bytes (tied tables have four names), be compressed, or never have been written; a file of a
    kilobyte may say so of a terabyte.

    Args:
        size: bytes of the file.
        wanted: bytes of all its tensors when each is read.

    Raises:
        CheckpointError: they are.
    """
    if wanted > MOST_COPIES * size + 64 * MEGABYTE:
        cause = f"its tensors ask for {wanted:,} bytes, more than {MOST_COPIES} times what the file has ({size:,})"
        raise CheckpointError(path, cause)
