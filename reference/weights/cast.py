"""Casts between float types with torch's rounding, with or without ``ml_dtypes``."""

from __future__ import annotations

import numpy as np

try:
    from ml_dtypes import bfloat16
except ImportError:  # not installed without JAX or TensorFlow; the bits are then stored in uint16
    bfloat16 = None

FLOATS = ("float32", "bfloat16", "float16", "float64")

BFLOAT16: np.dtype = np.dtype(np.uint16) if bfloat16 is None else np.dtype(bfloat16)
"""The dtype of bfloat16 arrays: ``ml_dtypes.bfloat16``, or uint16 with the same bits if that is not installed."""


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    """Casts an array to another float type, rounding to nearest, ties to even.

    Like torch, float64 is cast to the 16-bit types through float32, with two roundings (c10/util/BFloat16.h and Half.h,
    torch 2.13).

    Args:
        array: any shape; float64, float32, float16, bfloat16 (uint16 is read as bfloat16 bits) or an integer type.
        dtype: one of ``FLOATS``; ``bfloat16`` gives ``BFLOAT16``.

    Returns:
        A new array, or ``array`` itself if it already has that type.

    Raises:
        ValueError: ``dtype`` is not one of ``FLOATS``.
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
    """Casts without numpy's warning on overflow, because infinity is the correct result."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype, copy=False)


def _widen(array: np.ndarray) -> np.ndarray:
    """bfloat16 to float32, which is exact: the bits become the upper half."""
    return (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(array.shape)


def _to_bfloat16(array: np.ndarray) -> np.ndarray:
    """Rounds to nearest even: adds half of the last retained bit (minus one if it is even), then truncates."""
    single = np.ascontiguousarray(_quietly(array, np.float32))
    bits = single.view(np.uint32)
    rounded = ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    # Rounding a NaN with only low bits set could give infinity or zero; torch writes 0x7fc0.
    return np.where(np.isnan(single), np.uint16(0x7FC0), rounded).astype(np.uint16).view(BFLOAT16).reshape(array.shape)
