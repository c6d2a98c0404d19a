"""The common result of all readers: tensors as stored in the file, read on access."""

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
"""Supported dtypes, by their name in findings. float8 is not supported: no BART is stored in it."""


LARGEST_ARRAY = 1 << 48
"""An upper limit on the number of elements of an array."""
LONGEST_NAME = 4096
"""The maximum length of a tensor name in characters."""
MOST_TENSORS = 100_000
"""The maximum number of tensors in one file; the largest BART has 512."""
MOST_COPIES = 16
"""The maximum ratio of the total size of tensors to the file size (``check_amount``)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file: its metadata, and a function to read it.

    ``read`` returns a new array of ``shape``. ``identity`` is equal for names that intentionally share bytes.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    identity: object = None

    @property
    def nbytes(self) -> int:
        """The size of the array in bytes."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


@dataclass
class Opened:
    """One or several weight files, indexed: raw name to tensor, in the order of the file."""

    layout: Layout
    tensors: dict[str, Stored] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    """Names of entries that are not tensors."""


def read_span(path: Path, offset: int, count: int, dtype: np.dtype) -> np.ndarray:
    """``count`` elements of a file, one-dimensional, from a byte offset.

    Raises:
        CheckpointError: the file cannot be opened, or was truncated after it was indexed.
    """
    with open_file(path) as file:
        array = np.fromfile(file, dtype, count, offset=offset)
    if array.size != count:
        raise CheckpointError(path, f"truncated: {count * dtype.itemsize} bytes expected at offset {offset}")
    return array


def check_shape(path: Path, name: str, shape: object) -> tuple[int, ...]:
    """Validates a shape from a file: non-negative integers whose product is a possible array size.

    Raises:
        CheckpointError: it is invalid.
    """
    found = check_axes(path, name, shape)
    # Very large axes next to an axis of size 0: numpy refuses that too.
    if math.prod(size or 1 for size in found) >= LARGEST_ARRAY:
        raise CheckpointError(path, f"tensor {brief(name)} has no usable shape: {brief(shape, 80)}")
    return found


def check_axes(path: Path, name: str, sizes: Any) -> tuple[int, ...]:
    """Validates a shape or strides: a non-negative integer of usual size for each axis of an array.

    Raises:
        CheckpointError: it is invalid.
    """
    usable = isinstance(sizes, list | tuple) and len(sizes) <= 32
    if not usable or not all(type(size) is int and 0 <= size < LARGEST_ARRAY for size in sizes):
        raise CheckpointError(path, f"tensor {brief(name)} has no usable shape: {brief(sizes, 80)}")
    return tuple(sizes)


def check_name(path: Path, name: str) -> str:
    """Validates a tensor name.

    Raises:
        CheckpointError: it is too long, or has an unpaired surrogate, which cannot be encoded.
    """
    if len(name) > LONGEST_NAME:
        raise CheckpointError(path, f"tensor {brief(name, 60)} has a name of {len(name):,} characters")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(path, f"tensor {brief(name)} has a name with an unpaired surrogate") from error
    return name


def check_amount(path: Path, size: int, wanted: int) -> None:
    """Checks that the tensors of a file are not many times larger than the file.

    Tensors may share bytes (tied tables have four names), be compressed, or be unallocated, so that a file of a
    kilobyte may declare a terabyte.

    Args:
        size: the file size in bytes.
        wanted: the total size of all tensors in bytes.

    Raises:
        CheckpointError: the tensors are too large.
    """
    if wanted > MOST_COPIES * size + 64 * MEGABYTE:
        cause = f"its tensors need {wanted:,} bytes, more than {MOST_COPIES} times the size of the file ({size:,})"
        raise CheckpointError(path, cause)
