"""Reads ``pytorch_model.bin``: the zip archive of current ``torch.save``, and the older stream of pickles.

Does not use torch, and does not execute the pickle (``reference.weights.unpickle``).
Source: torch 2.13, torch/serialization.py (``_save``, ``_legacy_save``) and torch/_utils.py (``_rebuild_tensor_v2``).
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import MEGABYTE, open_file
from reference.weights.stored import (
    DTYPES,
    MOST_TENSORS,
    Opened,
    Stored,
    check_amount,
    check_axes,
    check_name,
    check_shape,
    read_span,
)
from reference.weights.unpickle import LARGEST_KEY, BadPickle, Call, ForbiddenGlobal, Global, Persistent, load

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    ValueError,
    struct.error,
    NotImplementedError,
    IndexError,
    EOFError,
    OverflowError,
)
"""Exceptions that ``zipfile`` raises for a damaged central directory, depending on the byte."""
_REBUILD = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_REBUILD_PARAMETER = ("torch._utils._rebuild_parameter",)
_ORDERED = "collections.OrderedDict"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_LARGEST_PICKLE, _LARGEST_DIRECTORY = 256, 64 * MEGABYTE


@dataclass(frozen=True)
class _Span:
    """The bytes of a storage: offset in the file, and size."""

    offset: int
    length: int


def _permitted(name: str) -> bool:
    return name in (*_REBUILD, *_REBUILD_PARAMETER, _ORDERED) or (
        name.startswith("torch.") and name.endswith("Storage") and name.count(".") == 1
    )


def open_torch_content(path: Path) -> tuple[Any, Callable[[Any], Opened]]:
    """The content of a file of ``torch.save`` that holds more than a state dict, and a function that indexes a state
    dict in it.

    Every global is permitted, because nothing is imported or called: an object is a ``Call`` with its arguments.

    Raises:
        CheckpointError: truncated or garbage.
    """
    found: list[Any] = []

    def index(path: Path, content: Any, storages: Mapping[str, _Span]) -> Opened:
        found.extend((content, partial(_index, path, storages=storages)))
        return Opened("torch")

    try:
        with open_file(path) as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            (_open_zip if zipped else _open_legacy)(path, file, lambda name: True, index)
    except BadPickle as error:
        raise CheckpointError(path, str(error)) from error
    return found[0], lambda state: found[1](content=state)


def open_torch(path: Path) -> Opened:
    """Indexes a state dict saved by ``torch.save``, including strides and offsets into shared storages.

    Raises:
        CheckpointError: truncated, garbage, a pickle that refers to anything but tensors, storages and OrderedDict
            (the message has the name; nothing is executed), an unknown dtype, or a tensor that exceeds its storage.
    """
    try:
        with open_file(path) as file:
            if file.read(4) == b"PK\x03\x04":
                return _open_zip(path, file)
            file.seek(0)
            return _open_legacy(path, file)
    except (ForbiddenGlobal, BadPickle) as error:
        raise CheckpointError(path, str(error)) from error


def _open_zip(
    path: Path,
    file: BufferedIOBase,
    permitted: Callable[[str], bool] = _permitted,
    index: Callable[..., Opened] | None = None,
) -> Opened:
    _check_directory(path, file)
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
    except _ZIP_ERRORS as error:
        raise CheckpointError(path, f"truncated or damaged zip archive: {error}") from error
    entries = {entry.filename: entry for entry in found}
    if len(entries) < len(found):
        raise CheckpointError(path, "damaged zip archive: two of its entries have one name")
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(path, "a zip archive, but not one of torch.save: no single data.pkl")
    spans = {
        name.removeprefix(roots[0]): _locate(path, file, entry)
        for name, entry in entries.items()
        if name.startswith(roots[0])
    }
    _check_apart(path, [(entries[roots[0] + name].header_offset, span) for name, span in spans.items()])
    order = _content(path, file, spans["byteorder"], 1) if "byteorder" in spans else b"little"
    if order != b"little":
        raise CheckpointError(path, f"byte order {brief(order, 20)} is not read, only little-endian")
    content = load(io.BytesIO(_content(path, file, spans["data.pkl"], _LARGEST_PICKLE)), permitted)
    storages = {name.removeprefix("data/"): span for name, span in spans.items() if name.startswith("data/")}
    return (index or _index)(path, content, storages)


def _locate(path: Path, file: BufferedIOBase, entry: zipfile.ZipInfo) -> _Span:
    """The location of an entry's bytes, which torch stores uncompressed, so that they can be read directly.

    As in torch, the checksum is not verified: ``set_crc32_options(False)`` writes files without one.
    """
    size = file.seek(0, io.SEEK_END)
    # zipfile corrects offsets for data before the archive, so damage can make them negative or very large.
    if not 0 <= entry.header_offset < size:
        raise CheckpointError(path, f"damaged zip archive: {brief(entry.filename)} lies outside the file")
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise CheckpointError(path, f"damaged zip archive: {brief(entry.filename)} is not at its recorded offset")
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise CheckpointError(path, f"damaged zip archive: {brief(entry.filename)} is compressed or encrypted")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    span = _Span(entry.header_offset + 30 + name_length + extra_length, entry.file_size)
    if span.offset + span.length > size:
        raise CheckpointError(path, f"truncated: {brief(entry.filename)} reaches past the end of the file")
    return span


def _check_directory(path: Path, file: BufferedIOBase) -> None:
    """Limits the size of the archive's list of entries; its location is determined by ``zipfile``."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 66_000))
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if 0 <= found <= len(tail) - 22:
        length = int.from_bytes(tail[found + 12 : found + 16], "little")
        wide = tail.rfind(b"PK\x06\x06", 0, found)
        if wide >= 0:
            length = max(int.from_bytes(tail[wide + 40 : wide + 48], "little"), 0 if length == 0xFFFFFFFF else length)
        if length > _LARGEST_DIRECTORY:
            raise CheckpointError(path, f"a zip archive whose list of entries has {length:,} bytes")


def _check_apart(path: Path, spans: list[tuple[int, _Span]]) -> None:
    """Checks that no two entries share bytes, which could expand a small file without limit."""
    end = 0
    for start, span in sorted(spans, key=lambda each: (each[0], each[1].offset)):
        if start < end:
            raise CheckpointError(path, f"damaged zip archive: two of its entries overlap at byte {start}")
        end = span.offset + span.length


def _content(path: Path, file: BufferedIOBase, span: _Span, megabytes: int) -> bytes:
    if span.length > megabytes * MEGABYTE:
        raise CheckpointError(path, f"an entry of {span.length:,} bytes, longer than torch.save writes")
    file.seek(span.offset)
    return file.read(span.length)


def _open_legacy(
    path: Path,
    file: BufferedIOBase,
    permitted: Callable[[str], bool] = _permitted,
    index: Callable[..., Opened] | None = None,
) -> Opened:
    """Reads five pickles (magic number, protocol, machine, state dict, storage keys), then the storages."""
    if load(file, permitted) != _LEGACY_MAGIC:
        raise BadPickle("not a file of torch.save: neither a zip archive nor its older format")
    protocol, machine = load(file, permitted), load(file, permitted)
    if protocol != _LEGACY_PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise BadPickle("not a file of torch.save this reads: another protocol, or of a big-endian machine")
    content, keys = load(file, permitted), load(file, permitted)
    if not isinstance(keys, list) or not all(map(_is_key, keys)):
        raise BadPickle("not a file of torch.save: it has no list of storages")
    dtypes = {str(p.content[2]): _NAMED.get(_storage_type(p)) for p in _storages(content)}
    end, storages = file.seek(0, io.SEEK_CUR), {}
    size = file.seek(0, io.SEEK_END)
    for key in map(str, keys):
        file.seek(end)
        header, dtype = file.read(8), dtypes.get(key)
        length = int.from_bytes(header, "little", signed=True) * (DTYPES[dtype].itemsize if dtype else 1)
        if len(header) < 8 or length < 0 or end + 8 + length > size:
            raise CheckpointError(path, f"truncated: storage {brief(key)} reaches past the end of the file")
        storages[key] = _Span(end + 8, length)
        end += 8 + length
    if end != size:
        raise CheckpointError(path, f"{size - end} unused bytes after the last storage")
    return (index or _index)(path, content, storages)


def _storages(content: Any) -> list[Persistent]:
    """All storages that a state dict refers to, or one in a mapping of the content."""
    values = list(_state(content).values())
    nested = [value for value in values if isinstance(value, dict) or _is_ordered(value)]
    calls = [_tensor_call(value) for mapping in (content, *nested) for value in _state(mapping).values()]
    return [call.arguments[0] for call in calls if call and _is_storage(call.arguments[0])]


def _is_ordered(value: Any) -> bool:
    return isinstance(value, Call) and value.function == _ORDERED and not value.arguments


def _state(content: Any) -> Mapping[Any, Any]:
    """The mapping in the file: a dict or an OrderedDict."""
    if _is_ordered(content):
        return content.items
    if not isinstance(content, dict):
        raise BadPickle("not a state dict: its content is not a mapping")
    return content


def _tensor_call(value: Any) -> Call | None:
    """The call that rebuilds a tensor, without the call that wraps it as a parameter; None for anything else."""
    if isinstance(value, Call) and value.function in _REBUILD_PARAMETER and value.arguments:
        value = value.arguments[0]
    return value if isinstance(value, Call) and value.function in _REBUILD and len(value.arguments) >= 4 else None


def _is_storage(value: Any) -> bool:
    content = value.content if isinstance(value, Persistent) else None
    if not isinstance(content, tuple) or len(content) < 5 or content[0] != "storage":
        return False
    return isinstance(content[1], Global) and _is_key(content[2])


def _is_key(value: Any) -> bool:
    """Whether a value is a storage name: a string, or a number of usual size, so that names cannot collide."""
    return type(value) is str or (type(value) is int and 0 <= value < LARGEST_KEY)


_NAMED = {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}


def _storage_type(storage: Persistent) -> str:
    return storage.content[1].name


def _index(path: Path, content: Any, storages: Mapping[str, _Span]) -> Opened:
    whole, state = Opened("torch"), _state(content)
    if len(state) > MOST_TENSORS:
        raise CheckpointError(path, f"a state dict of {len(state):,} entries")
    # A view may be larger than its storage (strides of 0), or span many more bytes than it has elements.
    wanted = reached = 0
    for name, value in state.items():
        call = _tensor_call(value)
        if not isinstance(name, str):
            raise CheckpointError(path, f"not a state dict: {brief(name, 40)} is not a name")
        if call is None:
            whole.others.append(check_name(path, name))
        else:
            whole.tensors[name], reach = _tensor(path, check_name(path, name), call.arguments, storages)
            wanted, reached = wanted + whole.tensors[name].nbytes, reached + reach
    check_amount(path, path.stat().st_size, max(wanted, reached))
    return whole


def _tensor(path: Path, name: str, arguments: tuple[Any, ...], storages: Mapping[str, _Span]) -> tuple[Stored, int]:
    """A view of a storage, ``(storage, offset, size, stride, …)`` in elements; and the bytes that it spans."""
    storage, first, size, stride = arguments[:4]
    if not _is_storage(storage):
        raise CheckpointError(path, f"tensor {brief(name)} does not refer to a storage")
    dtype = _NAMED.get(_storage_type(storage))
    if dtype is None:
        raise CheckpointError(path, f"tensor {brief(name)} has the unknown dtype of {_storage_type(storage)}")
    span = storages.get(str(storage.content[2]))
    if span is None:
        raise CheckpointError(path, f"tensor {brief(name)}: storage {brief(storage.content[2], 40)} is not in the file")
    shape, strides = check_shape(path, name, size), check_axes(path, name, stride)
    reach = sum((extent - 1) * step for extent, step in zip(shape, strides, strict=False)) + 1 if all(shape) else 0
    itemsize = DTYPES[dtype].itemsize
    if len(shape) != len(strides) or type(first) is not int or first < 0 or (first + reach) * itemsize > span.length:
        raise CheckpointError(
            path,
            f"tensor {brief(name)} is misaligned: {list(shape)} from {brief(first, 20)} reaches out of its storage",
        )
    read = partial(_read, path, span.offset + first * itemsize, reach, shape, strides, DTYPES[dtype])
    return Stored(shape, dtype, read, (span, first, shape, strides, dtype)), reach * itemsize


def _read(
    path: Path, offset: int, reach: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    flat = read_span(path, offset, reach, dtype)
    steps = tuple(step * dtype.itemsize for step in strides)
    view = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
    return flat.reshape(shape) if view.flags.c_contiguous and reach == math.prod(shape) else np.ascontiguousarray(view)
