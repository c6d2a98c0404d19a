"""Compares two weight files of one directory tensor by tensor, and reports where they diverge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from parity.checkpoint.conversion import stored_for
from reference.config import read_config
from reference.weights import Weights, cast, files_of, open_weights, weight_files

SHOWN = 20
"""Maximum number of described differences; of the others only the count is stored."""
_ROWS = 1 << 22
"""Elements compared at a time, because float64 copies of a large table would not fit."""
_PRECISION = {"float64": 3, "float32": 2, "float16": 1, "bfloat16": 1}


def compare_weight_files(checkpoint: Path, weights: Weights, file: str, model_class: str) -> dict[str, Any]:
    """Compares another weight file of the directory with the one that is read first.

    Args:
        weights: of the file that is read first (``reference.weights.find_weights``).
        file: the other's name, or that of the index of its shards.
        model_class: the documented class, by its PyTorch name.

    Returns:
        ``read`` and ``file`` (their names), ``missing`` and ``added`` (parameters of only the first, or only the other,
        file), ``differing`` (how many), ``differs`` (the worst ``SHOWN`` of them, in order), ``compared``,
        ``unequal_duplicates`` of the other file, ``dtypes`` of both, and ``stored_for``: which frameworks the files of
        the directory were written for. Non-finite values are equal to themselves; those that result from a cast
        alone are differences.

    Raises:
        CheckpointError: the file or one of its shards cannot be read.
    """
    other = _opened(checkpoint, file, model_class)
    shared = [name for name in weights if name in other]
    found = [difference for name in shared if (difference := _difference(name, weights[name], other[name]))]
    found.sort(key=lambda each: -(each["relative"] if each["relative"] is not None else np.inf))
    return {
        "read": weights.files[0].name,
        "file": file,
        "compared": len(shared),
        "missing": [name for name in weights if name not in other and weights.dtypes.get(name)],
        "added": [name for name in other if name not in weights],
        "differing": len(found),
        "differs": found[:SHOWN],
        "unequal_duplicates": other.tied_differs,
        "dtypes": [sorted(set(each.dtypes.values())) for each in (weights, other)],
        "stored_for": sorted(stored_for(checkpoint)),
    }


def not_compared(checkpoint: Path, weights: Weights, file: str, cause: str) -> dict[str, Any]:
    """The result for a file that cannot be read: ``unreadable``, its cause."""
    stored = sorted(stored_for(checkpoint))
    return {"read": weights.files[0].name, "file": file, "unreadable": cause, "stored_for": stored}


def _opened(checkpoint: Path, file: str, model_class: str) -> Weights:
    known, path = next((known, path) for known, path in weight_files(checkpoint) if path.name == file)
    files = files_of(known, path)
    return Weights(read_config(checkpoint), open_weights(known, files), known.name, files, model_class)


def _difference(name: str, one: np.ndarray, other: np.ndarray) -> dict[str, Any] | None:
    """The largest difference of two arrays of one parameter, in the less precise of their types; None if they are
    equal."""
    if one.shape != other.shape:
        return {"name": name, "shapes": [list(one.shape), list(other.shape)], "relative": None}
    types = [_name_of(one), _name_of(other)]
    if types[0] == types[1]:
        if np.array_equal(_bits(one), _bits(other)):
            return None
    elif all(kind in _PRECISION for kind in types) and _equal_after_cast(one, other, types):
        return None
    return {"name": name, "dtypes": types, **_worst(one, other)}


def _equal_after_cast(one: np.ndarray, other: np.ndarray, types: list[str]) -> bool:
    """For two different 16-bit types only float32 contains both."""
    first, second = (_PRECISION[kind] for kind in types)
    target = "float32" if first == second else types[0] if first < second else types[1]
    a, b = cast(one, target), cast(other, target)
    overflows = int(np.count_nonzero(~np.isfinite(cast(a, "float64")))) != int(
        np.count_nonzero(~np.isfinite(cast(one if first > second else other, "float64")))
    )
    return not overflows and np.array_equal(_bits(a), _bits(b))


def _worst(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The element with the largest difference relative to the first array's root mean square."""
    left, right = one.reshape(-1), other.reshape(-1)
    largest, at, squares = -1.0, 0, 0.0
    for start in range(0, left.size, _ROWS):
        a, b = (cast(each[start : start + _ROWS], "float64") for each in (left, right))
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(a - b)
        gap[np.isnan(gap)] = np.inf
        gap[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
        squares += float(np.square(a[np.isfinite(a)]).sum())
        index = int(gap.argmax())
        if gap[index] > largest:
            largest, at = float(gap[index]), start + index
    scale = float(np.sqrt(squares / max(left.size, 1)))
    finite = np.isfinite(largest) and scale > 0
    return {
        "at": [int(index) for index in np.unravel_index(at, one.shape)] if one.ndim else [],
        "values": [repr(float(cast(each[at : at + 1], "float64")[0])) for each in (left, right)],
        "relative": largest / scale if finite else None,
    }


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _name_of(array: np.ndarray) -> str:
    return "bfloat16" if array.dtype == np.uint16 else str(array.dtype)
