"""Reads ``flax_model.msgpack``: a nested map whose leaves are arrays, as ``flax.serialization`` writes it.

Only headers are read, so that a large file is indexed without loading it. Source: the MessagePack specification
("Formats"); an array is extension type 1, itself MessagePack of (shape, dtype's name, bytes), and one of a gigabyte or
more is split into chunks (flax 0.12.8, flax/serialization.py).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import open_file
from reference.weights.stored import (
    DTYPES,
    LONGEST_NAME,
    MOST_TENSORS,
    Opened,
    Stored,
    check_name,
    check_shape,
    read_span,
)

_ARRAYS = (1, 3)
"""Extension types of an array and of a numpy scalar."""
_CHUNKED = "__msgpack_chunked_array__"
_DEEPEST = 64
_MOST_VALUES = 20 * MOST_TENSORS


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes or an extension that are not loaded."""

    start: int
    length: int
    extension: int | None = None


class _Reader:
    """Reads values of a file sequentially up to an end; their number is limited over the whole file."""

    def __init__(self, file: BufferedIOBase, end: int) -> None:
        self.file, self.end = file, end
        self.left = _MOST_VALUES

    def take(self, count: int) -> bytes:
        content = self.file.read(count) if count <= LONGEST_NAME else b""
        if len(content) != count:
            raise EOFError if count <= LONGEST_NAME else ValueError(f"a text of {count:,} bytes")
        return content

    def number(self, layout: str) -> int | float:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def skip(self, count: int, extension: int | None) -> _Bytes:
        """Skips bytes without reading them."""
        start = self.file.tell()
        if start + count > self.end:
            raise EOFError
        self.file.seek(start + count)
        return _Bytes(start, count, extension)

    def value(self, depth: int) -> Any:
        """The value at the file's position; bytes and extensions are skipped."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {_MOST_VALUES:,} values")
        if depth > _DEEPEST:
            raise ValueError(f"maps nested deeper than {_DEEPEST}")
        tag = self.take(1)[0]
        if tag in _SCALARS:
            return _SCALARS[tag]
        if tag in _NUMBERS:
            return self.number(_NUMBERS[tag])
        kind, count = self.header(tag)
        if kind == "text":
            return self.take(count).decode()
        if kind in ("bytes", "extension"):
            extension = self.take(1)[0] if kind == "extension" else None
            return self.skip(count, extension)
        if kind == "array":
            return [self.value(depth + 1) for _ in range(count)]
        return self.map(count, depth)

    def map(self, count: int, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in pairs:
                raise ValueError("a map whose keys are not distinct texts")
            pairs[key] = self.value(depth + 1)
        return pairs

    def header(self, tag: int) -> tuple[str, int]:
        """Kind and length of a sized value."""
        if tag in _SIZED:
            kind, layout = _SIZED[tag]
            return kind, int(self.number(layout))
        if 0xD4 <= tag <= 0xD8:
            return "extension", 1 << (tag - 0xD4)
        for lowest, kind, mask in ((0xA0, "text", 0x1F), (0x90, "array", 0x0F), (0x80, "map", 0x0F)):
            if lowest <= tag <= lowest + mask:
                return kind, tag & mask
        raise ValueError(f"byte {tag:#04x} at offset {self.file.tell() - 1} does not start a value")

    def array(self, name: str, found: _Bytes) -> tuple[object, object, object]:
        """The content of an array extension: shape, dtype name, bytes; reads only bytes of the extension."""
        self.file.seek(found.start)
        if self.take(1)[0] != 0x93:
            raise ValueError(f"tensor {brief(name)} is not (shape, dtype, bytes)")
        shape, dtype = self.shape(name), self.value(_DEEPEST)
        data = self.value(_DEEPEST)
        if self.file.tell() != found.start + found.length:
            raise ValueError(f"tensor {brief(name)} is not (shape, dtype, bytes)")
        return shape, dtype, data

    def shape(self, name: str) -> list[Any]:
        kind, count = self.header(self.take(1)[0])
        # Checked before reading: otherwise an extension of a few bytes could make the reader scan the whole file.
        if kind != "array" or count > 32:
            raise ValueError(f"tensor {brief(name)} has no usable shape")
        return [self.value(_DEEPEST) for _ in range(count)]


_SCALARS = {0xC0: None, 0xC2: False, 0xC3: True}
_SCALARS |= {tag: tag for tag in range(0x80)} | {tag: tag - 0x100 for tag in range(0xE0, 0x100)}
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h"}
_NUMBERS |= {0xD2: ">i", 0xD3: ">q"}
_SIZED = {
    0xC4: ("bytes", ">B"),
    0xC5: ("bytes", ">H"),
    0xC6: ("bytes", ">I"),
    0xC7: ("extension", ">B"),
    0xC8: ("extension", ">H"),
    0xC9: ("extension", ">I"),
    0xD9: ("text", ">B"),
    0xDA: ("text", ">H"),
    0xDB: ("text", ">I"),
    0xDC: ("array", ">H"),
    0xDD: ("array", ">I"),
    0xDE: ("map", ">H"),
    0xDF: ("map", ">I"),
}


def open_msgpack(path: Path) -> Opened:
    """Indexes the leaves of a Flax file by their path, joined by ``/``.

    Raises:
        CheckpointError: truncated, not a MessagePack map of arrays, bytes after its end, an unknown dtype, an array
            whose bytes do not fit its shape, or more values and longer names than any model has.
    """
    try:
        with open_file(path) as file:
            reader = _Reader(file, os.fstat(file.fileno()).st_size)
            tree = _walk(path, reader)
            leaves = {name: _leaf(path, reader, name, value) for name, value in _flatten(path, tree)}
    except EOFError as error:
        raise CheckpointError(path, "truncated: the file ends inside a value") from error
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(path, f"not a Flax weight file: {error}") from error
    return _join_chunks(path, leaves)


def _walk(path: Path, reader: _Reader) -> dict[str, Any]:
    tree = reader.value(0)
    if not isinstance(tree, dict):
        raise ValueError("its content is not a map")
    if (left := reader.end - reader.file.tell()) != 0:
        raise CheckpointError(path, f"{left} unused bytes after its end")
    return tree


def _flatten(path: Path, tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """All leaves by path, in the order of the file."""
    seen: set[str] = set()
    below = [("", iter(tree.items()))]
    while below:
        prefix, entries = below[-1]
        for key, value in entries:
            if isinstance(value, dict):
                below.append((f"{prefix}{key}/", iter(value.items())))
                break
            name = check_name(path, prefix + key)
            if name in seen:
                raise CheckpointError(path, f"the name {brief(name)} occurs twice")
            seen.add(name)
            yield name, value
        else:
            below.pop()


def _leaf(path: Path, reader: _Reader, name: str, value: Any) -> Stored | Any:
    """An array of the file, or another value."""
    if not isinstance(value, _Bytes) or value.extension not in _ARRAYS:
        return value
    sizes, dtype, data = reader.array(name, value)
    shape = check_shape(path, name, sizes)
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(path, f"tensor {brief(name)} has the unknown dtype {brief(dtype, 40)}")
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if not isinstance(data, _Bytes) or data.length != wanted:
        found = data.length if isinstance(data, _Bytes) else 0
        cause = f"is misaligned: it has {found} bytes, {dtype} {list(shape)} needs {wanted}"
        raise CheckpointError(path, f"tensor {brief(name)} {cause}")
    return Stored(shape, dtype, partial(_read, path, data.start, shape, DTYPES[dtype]))


def _read(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return read_span(path, offset, math.prod(shape), dtype).reshape(shape)


def _join_chunks(path: Path, leaves: dict[str, Any]) -> Opened:
    """Joins arrays that were split into chunks: ``X/chunks/0``, ``X/chunks/1`` … and ``X/shape/0`` …"""
    opened = Opened("flax")
    cut = {name.removesuffix(_CHUNKED): {} for name in leaves if name.endswith(f"/{_CHUNKED}")}
    for name in list(leaves) if cut else ():
        prefix = name if name.endswith(f"/{_CHUNKED}") else name.rpartition("/")[0].rpartition("/")[0] + "/"
        if prefix.removesuffix(_CHUNKED) in cut:
            cut[prefix.removesuffix(_CHUNKED)][name] = leaves.pop(name)
    for prefix, parts in cut.items():
        shape = check_shape(path, prefix, _numbered(parts, f"{prefix}shape/"))
        chunks = _numbered(parts, f"{prefix}chunks/")
        whole = chunks and all(isinstance(c, Stored) and c.dtype == chunks[0].dtype for c in chunks)
        if not whole or sum(math.prod(c.shape) for c in chunks) != math.prod(shape):
            cause = f"is misaligned: its chunks do not make up {list(shape)}"
            raise CheckpointError(path, f"tensor {brief(prefix[:-1])} {cause}")
        read: Callable[[], np.ndarray] = partial(_read_chunks, chunks, shape)
        opened.tensors[prefix[:-1]] = Stored(shape, chunks[0].dtype, read)
    if len(opened.tensors) + len(leaves) > MOST_TENSORS:
        raise CheckpointError(path, f"a map of {len(opened.tensors) + len(leaves):,} leaves")
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
