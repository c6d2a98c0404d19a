"""Casts between the float types, rounding as torch does, with or without ``ml_dtypes``."""

from __future__ import annotations

import numpy as np

try:
    from ml_dtypes import bfloat16
except ImportError:  # stacks without JAX or TensorFlow lack it; the bits are then carried in uint16
    bfloat16 = None

FLOATS = ("float32", "bfloat16", "float16", "float64")

BFLOAT16: np.dtype = np.dtype(np.uint16) if bfloat16 is None else np.dtype(bfloat16)
"""What a bfloat16 array is made of: ``ml_dtypes.bfloat16``, or uint16 of the same bits where that is not installed."""


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in another float type, to the nearest value, ties to even.

    torch narrows float64 to the 16-bit types by way of float32, rounding twice (c10/util/BFloat16.h and Half.h,
    torch 2.13); so does this.

    Args:
        array: any shape; float64, float32, float16, bfloat16 (uint16 is read as bfloat16 bits) or an integer type.
        dtype: one of ``FLOATS``; ``bfloat16`` gives ``BFLOAT16``.

    Returns:
        A new array, or ``array`` itself where it is of that type already.

    Raises:
        ValueError: ``dtype`` is none of them.
    """
    if dtype not in FLOATS:
        raise ValueError(f"cannot cast to {dtype!r}: {', '.join(FLOATS)}")
    narrow = array.dtype in (BFLOAT16, np.uint16)
    if dtype == "bfloat16":
        return array if narrow else _to_bfloat16(array)
    if narrow:
        array = _widen(array)
    if dtype == "float16" and array.dtype == np.float64:
        array = _quietly(array, np.float32)
    return _quietly(array, np.dtype(dtype))


def _quietly(array: np.ndarray, dtype: np.typing.DTypeLike) -> np.ndarray:
    """An overflow to infinity is the right answer here, not worth numpy's warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype, copy=False)


def _widen(array: np.ndarray) -> np.ndarray:
    """bfloat16 to float32, which is exact: its bits are the upper half."""
    return (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(array.shape)


def _to_bfloat16(array: np.ndarray) -> np.ndarray:
    """Adds half of the last kept bit, less one where that bit is even, then drops the lower half."""
    single = np.ascontiguousarray(_quietly(array, np.float32))
    bits = single.view(np.uint32)
    rounded = ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    # A NaN whose bits lie low would carry over into infinity or zero; torch writes 0x7fc0.
    return np.where(np.isnan(single), np.uint16(0x7FC0), rounded).astype(np.uint16).view(BFLOAT16).reshape(array.shape)
