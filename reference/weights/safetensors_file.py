"""Reads ``model.safetensors``: eight bytes with the length of a JSON header, the header, the tensors' bytes.

Source: the safetensors README, "Format". Implemented with numpy only, to be independent of the library that all
backends use.
"""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reference.errors import CheckpointError, brief
from reference.files import open_file, parse_json
from reference.names import Layout
from reference.weights.stored import DTYPES, MOST_TENSORS, Opened, Stored, check_name, check_shape, read_span

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_LAYOUTS: dict[str, Layout] = {"pt": "torch", "tf": "tf", "flax": "flax"}
_LARGEST_HEADER = 100_000_000


def open_safetensors(path: Path) -> Opened:
    """Indexes a safetensors file; ``format`` in its metadata (``pt``, ``tf``, ``flax``) defines the layout of names.

    Raises:
        CheckpointError: truncated, header longer than the file or not JSON, offsets that overlap, leave a gap, do not
            fit shape and dtype or do not end with the file, an unknown dtype or ``format``.
    """
    header, start, size = _read_header(path)
    metadata = header.pop("__metadata__", None) or {}
    saved_by = metadata.get("format", "pt") if isinstance(metadata, dict) else None
    if not isinstance(saved_by, str) or saved_by not in _LAYOUTS:
        raise CheckpointError(path, f"metadata names the format {brief(saved_by, 40)}; known: {', '.join(_LAYOUTS)}")
    opened = Opened(_LAYOUTS[saved_by])
    if len(header) > MOST_TENSORS:
        raise CheckpointError(path, f"a header of {len(header):,} tensors")
    spans = []
    for name, entry in header.items():
        shape, dtype, begin, end = _read_entry(path, check_name(path, name), entry)
        spans.append((begin, end, name))
        opened.tensors[name] = Stored(shape, dtype, partial(_read, path, start + begin, shape, DTYPES[dtype]))
    _check_spans(path, spans, size - start)
    return opened


def _read(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return read_span(path, offset, math.prod(shape), dtype).reshape(shape)


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header, the offset of the tensor data, and the size of the file."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise CheckpointError(path, f"truncated: {size} bytes, not even the header's length")
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8 or length > _LARGEST_HEADER:
            raise CheckpointError(path, f"header of {length} bytes is larger than the file ({size} bytes)")
        content = file.read(length)
    # Checked before parsing: a header of 15 MB takes seconds to parse, and is refused anyway.
    if (tensors := content.count(b'"data_offsets"')) > MOST_TENSORS:
        raise CheckpointError(path, f"a header of {tensors:,} tensors")
    try:
        # The Rust reader requires valid UTF-8; a duplicate key would hide a tensor.
        content.decode()
        header = parse_json(content, path, unique=True)
    except CheckpointError as error:
        raise CheckpointError(path, f"header is {error.cause}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(path, f"header is not UTF-8 text: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(path, "header is not a JSON object")
    return header, 8 + length, size


def _read_entry(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], str, int, int]:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise CheckpointError(path, f"tensor {brief(name)} lacks dtype, shape or data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _NAMES:
        raise CheckpointError(path, f"tensor {brief(name)} has the unknown dtype {brief(entry['dtype'], 40)}")
    dtype = _NAMES[entry["dtype"]]
    shape = check_shape(path, name, entry["shape"])
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(o) is int and o >= 0 for o in offsets):
        raise CheckpointError(path, f"tensor {brief(name)} has no usable data_offsets: {brief(offsets, 80)}")
    begin, end = offsets
    wanted = math.prod(shape) * DTYPES[dtype].itemsize
    if end - begin != wanted:
        message = (
            f"tensor {brief(name)} is misaligned: offsets {offsets} hold {end - begin} bytes, {dtype} {list(shape)}"
        )
        raise CheckpointError(path, f"{message} needs {wanted}")
    return shape, dtype, begin, end


def _check_spans(path: Path, spans: list[tuple[int, int, str]], size: int) -> None:
    """Checks that tensors are contiguous, without gaps or overlaps, and fill the file."""
    at, before = 0, ""
    for begin, end, name in sorted(spans):
        if begin < at:
            raise CheckpointError(path, f"tensors {brief(before)} and {brief(name)} overlap at data offset {begin}")
        if begin > at:
            raise CheckpointError(path, f"tensor {brief(name)} is misaligned: {begin - at} unused bytes before it")
        at, before = end, name
    if at > size:
        raise CheckpointError(path, f"truncated: tensors need {at} bytes, {size} are there")
    if at < size:
        raise CheckpointError(path, f"{size - at} unused bytes after the last tensor")
