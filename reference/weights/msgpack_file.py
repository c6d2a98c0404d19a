"""Reads ``flax_model.msgpack``: a nested map whose leaves are arrays, as ``flax.serialization`` writes it.

Only headers are walked, so that a large file is indexed without being read. Source: the MessagePack specification
("Formats"); an array is extension type 1, itself MessagePack of (shape, dtype's name, bytes), and one of a gigabyte or
more is cut into chunks (flax 0.12.8, flax/serialization.py).
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError
from reference.weights.stored import DTYPES, Opened, Stored, check_shape, read_span

_ARRAYS = (1, 3)
"""Extension types of an array and of a numpy scalar."""
_CHUNKED = "__msgpack_chunked_array__"
_DEEPEST = 64


@dataclass(frozen=True)
class _Bytes:
    """Bytes or an extension, left in the file."""

    start: int
    length: int
    extension: int | None = None


def open_msgpack(path: Path) -> Opened:
    """Indexes a Flax file: leaves under their path, joined by ``/``.

    Raises:
        CheckpointError: truncated, not a MessagePack map of arrays, bytes after its end, an unknown dtype, or an array
            whose bytes do not fit its shape.
    """
    try:
        with path.open("rb") as file:
            tree = _walk(path, file)
            leaves = {name: _leaf(path, file, name, value) for name, value in _flatten(path, tree)}
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror or error}") from error
    except EOFError as error:
        raise CheckpointError(path, "truncated: the file ends inside a value") from error
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(path, f"not a Flax weight file: {error}") from error
    return _join_chunks(path, leaves)


def _walk(path: Path, file: BufferedIOBase) -> dict[str, Any]:
    tree = _value(file, 0)
    if not isinstance(tree, dict):
        raise ValueError("its content is no map")
    end, size = file.tell(), file.seek(0, io.SEEK_END)
    if end != size:
        raise CheckpointError(path, f"{size - end} bytes after its end belong to nothing")
    return tree


def _value(file: BufferedIOBase, depth: int) -> Any:
    """The value at the file's position; bytes and extensions are left where they are."""
    if depth > _DEEPEST:
        raise ValueError(f"maps nested deeper than {_DEEPEST}")
    tag = _take(file, 1)[0]
    if tag in _SCALARS:
        return _SCALARS[tag]
    if tag in _NUMBERS:
        return _number(file, _NUMBERS[tag])
    kind, count = _header(file, tag)
    if kind == "text":
        return _take(file, count).decode()
    if kind in ("bytes", "extension"):
        extension = _take(file, 1)[0] if kind == "extension" else None
        return _skip(file, count, extension)
    if kind == "array":
        return [_value(file, depth + 1) for _ in range(count)]
    return _map(file, count, depth)


def _map(file: BufferedIOBase, count: int, depth: int) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for _ in range(count):
        key = _value(file, depth + 1)
        if not isinstance(key, str) or key in pairs:
            raise ValueError("a map whose keys are not distinct texts")
        pairs[key] = _value(file, depth + 1)
    return pairs


_SCALARS = {0xC0: None, 0xC2: False, 0xC3: True}
_SCALARS |= {tag: tag for tag in range(0x80)} | {tag: tag - 0x100 for tag in range(0xE0, 0x100)}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h"}
_NUMBERS |= {0xD2: ">i", 0xD3: ">q"}
_SIZED = {
    0xC4: ("bytes", ">B"), 0xC5: ("bytes", ">H"), 0xC6: ("bytes", ">I"),
    0xC7: ("extension", ">B"), 0xC8: ("extension", ">H"), 0xC9: ("extension", ">I"),
    0xD9: ("text", ">B"), 0xDA: ("text", ">H"), 0xDB: ("text", ">I"),
    0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip


def _header(file: BufferedIOBase, tag: int) -> tuple[str, int]:
    """Kind and length of a sized value."""
    if tag in _SIZED:
        kind, layout = _SIZED[tag]
        return kind, int(_number(file, layout))
    if 0xD4 <= tag <= 0xD8:
        return "extension", 1 << (tag - 0xD4)
    for lowest, kind, mask in ((0xA0, "text", 0x1F), (0x90, "array", 0x0F), (0x80, "map", 0x0F)):
        if lowest <= tag <= lowest + mask:
            return kind, tag & mask
    raise ValueError(f"byte {tag:#04x} at offset {file.tell() - 1} begins no value")


def _take(file: BufferedIOBase, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise EOFError
    return content


def _number(file: BufferedIOBase, layout: str) -> int | float:
    return struct.unpack(layout, _take(file, struct.calcsize(layout)))[0]


def _skip(file: BufferedIOBase, count: int, extension: int | None) -> _Bytes:
    """Passes over bytes without reading them."""
    start = file.tell()
    if start + count > os.fstat(file.fileno()).st_size:
        raise EOFError
    file.seek(count, io.SEEK_CUR)
    return _Bytes(start, count, extension)


def _flatten(path: Path, tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for key, value in tree.items():
        leaves += _flatten(path, value, f"{prefix}{key}/") if isinstance(value, dict) else [(prefix + key, value)]
    names = [name for name, _ in leaves]
    if not prefix and len(set(names)) != len(names):
        raise CheckpointError(path, "a name stands twice")
    return leaves


def _leaf(path: Path, file: BufferedIOBase, name: str, value: Any) -> Stored | Any:
    """An array of the file, or whatever else stands there."""
    if not isinstance(value, _Bytes) or value.extension not in _ARRAYS:
        return value
    file.seek(value.start)
    content = _value(file, _DEEPEST - 2)
    if file.tell() != value.start + value.length or not isinstance(content, list) or len(content) != 3:
        raise ValueError(f"tensor {name!r} is not (shape, dtype, bytes)")
    shape, dtype, data = check_shape(path, name, content[0]), content[1], content[2]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(path, f"tensor {name!r} has the unknown dtype {dtype!r:.40}")
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if not isinstance(data, _Bytes) or data.length != wanted:
        found = data.length if isinstance(data, _Bytes) else 0
        raise CheckpointError(
            path, f"tensor {name!r} is misaligned: it holds {found} bytes, {dtype} {list(shape)} needs {wanted}"
        )
    return Stored(shape, dtype, partial(_read, path, data.start, shape, DTYPES[dtype]))


def _read(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return read_span(path, offset, math.prod(shape), dtype).reshape(shape)


def _join_chunks(path: Path, leaves: dict[str, Any]) -> Opened:
    """Puts arrays back together that were cut: ``X/chunks/0``, ``X/chunks/1`` … and ``X/shape/0`` …"""
    cut = [name.removesuffix(_CHUNKED) for name in leaves if name.endswith(f"/{_CHUNKED}")]
    opened = Opened("flax")
    for place in cut:
        parts = {name: leaves.pop(name) for name in list(leaves) if name.startswith(place)}
        shape = check_shape(path, place, _numbered(parts, f"{place}shape/"))
        chunks = _numbered(parts, f"{place}chunks/")
        whole = chunks and all(isinstance(c, Stored) and c.dtype == chunks[0].dtype for c in chunks)
        if not whole or sum(math.prod(c.shape) for c in chunks) != math.prod(shape):
            raise CheckpointError(path, f"tensor {place[:-1]!r} is misaligned: its chunks do not make up {list(shape)}")
        read: Callable[[], np.ndarray] = partial(_read_chunks, chunks, shape)
        opened.tensors[place[:-1]] = Stored(shape, chunks[0].dtype, read)
    for name, value in leaves.items():
        if isinstance(value, Stored):
            opened.tensors[name] = value
        else:
            opened.others.append(name)
    return opened


def _numbered(parts: dict[str, Any], prefix: str) -> list[Any]:
    """The values of ``prefix0``, ``prefix1`` …"""
    values = []
    while f"{prefix}{len(values)}" in parts:
        values.append(parts[f"{prefix}{len(values)}"])
    return values


def _read_chunks(chunks: list[Stored], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([chunk.read().reshape(-1) for chunk in chunks]).reshape(shape)
