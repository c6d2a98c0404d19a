"""Reads ``tf_model.h5``: Keras variables as HDF5 datasets, named by their scopes. Needs ``h5py``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError
from reference.weights.cast import BFLOAT16
from reference.weights.stored import DTYPES, Opened, Stored, check_shape

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
    opened = Opened("tf")

    def visit(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):
            raise CheckpointError(path, f"holds a name that is no UTF-8: {name!r}")
        if isinstance(item, h5py.Dataset):
            opened.tensors[name] = _index(path, name, item)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except CheckpointError:
        raise
    except _ERRORS as error:
        raise CheckpointError(path, f"not a readable HDF5 file: {error}") from error
    return opened


def _import(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(path, f"needs the package h5py, which is not installed: {error}") from error
    return h5py


def _index(path: Path, name: str, item: Any) -> Stored:
    if item.external or item.is_virtual:
        raise CheckpointError(path, f"tensor {name!r} takes its data from another file")
    # Keras writes bfloat16 as two opaque bytes.
    dtype = "bfloat16" if item.dtype.str in ("|V2", BFLOAT16.str) else _NAMES.get(item.dtype.newbyteorder("<").str)
    if dtype is None:
        raise CheckpointError(path, f"tensor {name!r} has the unknown dtype {item.dtype}")
    if item.shape is None:
        raise CheckpointError(path, f"tensor {name!r} has no shape")
    shape = check_shape(path, name, tuple(int(size) for size in item.shape))
    return Stored(shape, dtype, partial(_read, path, name, DTYPES[dtype]))


def _read(path: Path, name: str, dtype: np.dtype) -> np.ndarray:
    h5py = _import(path)
    try:
        with h5py.File(path, "r") as file:
            array = file[name][()]
    except _ERRORS as error:
        raise CheckpointError(path, f"tensor {name!r} cannot be read: {error}") from error
    return array.view(dtype) if array.dtype.kind == "V" else array.astype(dtype, copy=False)
