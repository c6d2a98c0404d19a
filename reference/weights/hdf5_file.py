"""Reads ``tf_model.h5``: Keras variables as HDF5 datasets, named by their scopes. Needs ``h5py``."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import open_file
from reference.weights.cast import BFLOAT16
from reference.weights.stored import DTYPES, MOST_TENSORS, Opened, Stored, check_amount, check_name, check_shape

_NAMES = {dtype.str: name for name, dtype in DTYPES.items() if name != "bfloat16"}
_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)
"""What h5py raises on a damaged file, depending on where the damage is."""


def open_hdf5(path: Path) -> Opened:
    """Indexes every dataset of an HDF5 file under its whole path.

    Raises:
        CheckpointError: h5py is not installed, or the file is truncated, damaged, has an unknown dtype, or takes its
            data from another file (external or virtual datasets).
    """
    h5py = _import(path)
    opened, visited = Opened("tf"), 0
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size

    def visit(name: str | bytes, item: Any) -> None:
        nonlocal visited
        visited += 1
        if visited > MOST_TENSORS:
            raise CheckpointError(path, f"holds more than {MOST_TENSORS:,} groups and tensors")
        if isinstance(name, bytes):
            raise CheckpointError(path, f"holds a name that is no UTF-8: {brief(name)}")
        if isinstance(item, h5py.Dataset):
            opened.tensors[name] = _index(path, check_name(path, name), item, size)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except CheckpointError:
        raise
    except _ERRORS as error:
        raise CheckpointError(path, f"not a readable HDF5 file: {brief(str(error), 300)[1:-1]}") from error
    check_amount(path, size, sum(stored.nbytes for stored in opened.tensors.values()))
    return opened


def _import(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(path, f"needs the package h5py, which is not installed: {error}") from error
    return h5py


def _index(path: Path, name: str, item: Any, size: int) -> Stored:
    h5py = _import(path)
    made = item.id.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
        raise CheckpointError(path, f"tensor {brief(name)} takes its data from another file")
    found = item.dtype
    # Keras writes bfloat16 as two opaque bytes.
    dtype = "bfloat16" if found.str in ("|V2", BFLOAT16.str) else _NAMES.get(found.newbyteorder("<").str)
    if dtype is None or found.names or found.subdtype:
        kind = "of several fields" if found.names else found.str[:20]
        raise CheckpointError(path, f"tensor {brief(name)} has the unknown dtype {kind}")
    if item.shape is None:
        raise CheckpointError(path, f"tensor {brief(name)} has no shape")
    shape = check_shape(path, name, tuple(int(size) for size in item.shape))
    if made.get_layout() == h5py.h5d.CHUNKED:
        # A chunk is held whole to read one element of it, and may be much larger than the array.
        chunk = check_shape(path, name, tuple(int(extent) for extent in made.get_chunk()))
        check_amount(path, size, math.prod(chunk) * DTYPES[dtype].itemsize)
    return Stored(shape, dtype, partial(_read, path, name, DTYPES[dtype]))


def _read(path: Path, name: str, dtype: np.dtype) -> np.ndarray:
    h5py = _import(path)
    try:
        with h5py.File(path, "r") as file:
            array = file[name][()]
    except _ERRORS as error:
        cause = brief(str(error), 300)[1:-1]
        raise CheckpointError(path, f"tensor {brief(name)} cannot be read: {cause}") from error
    return array.view(dtype) if array.dtype.kind == "V" else array.astype(dtype, copy=False)
