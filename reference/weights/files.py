"""Selects the weight files of a directory and opens them as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reference.config import read_json
from reference.errors import CheckpointError, brief
from reference.files import is_regular
from reference.weights.hdf5_file import open_hdf5
from reference.weights.msgpack_file import open_msgpack
from reference.weights.safetensors_file import open_safetensors
from reference.weights.stored import Opened
from reference.weights.torch_file import open_torch


@dataclass(frozen=True)
class Format:
    """A file format: the name of an unsharded file, and the function that opens one."""

    name: str
    file: str
    open: Callable[[Path], Opened]

    @property
    def index(self) -> str:
        """The index file that maps tensors to shards."""
        return f"{self.file}.index.json"


FORMATS = (
    Format("safetensors", "model.safetensors", open_safetensors),
    Format("bin", "pytorch_model.bin", open_torch),
    Format("h5", "tf_model.h5", open_hdf5),
    Format("msgpack", "flax_model.msgpack", open_msgpack),
)
"""In order of precedence: if a directory has several, the first is read. Within a format, the unsharded file precedes
shards, as in transformers 4.57.6 (modeling_utils.py, ``from_pretrained``) for its own two formats."""


def find_weights(directory: Path, format: str | None = None) -> tuple[Format, list[Path]]:
    """The format to read and its files, an index file first.

    Args:
        format: ``safetensors``, ``bin``, ``h5`` or ``msgpack``; None for the first of ``FORMATS`` that is present.

    Raises:
        ValueError: no such format.
        CheckpointError: there is no weight file (of that format), or a shard in the index is missing.
    """
    wanted = [known for known in FORMATS if format in (None, known.name)]
    if not wanted:
        raise ValueError(f"unknown format {brief(format)}: {', '.join(known.name for known in FORMATS)}")
    for known in wanted:
        if is_regular(directory / known.file):
            return known, [directory / known.file]
        if is_regular(directory / known.index):
            return known, [directory / known.index, *_shards(directory, known)]
    names = ", ".join(known.file for known in wanted)
    raise CheckpointError(directory, f"no weight file: none of {names}, unsharded or sharded")


def weight_files(directory: Path) -> list[tuple[Format, Path]]:
    """All unsharded weight files and all shard indexes of a directory, in order of precedence.

    Shards that are in no index are not included.
    """
    names = [(known, name) for known in FORMATS for name in (known.file, known.index)]
    return [(known, directory / name) for known, name in names if (directory / name).is_file()]


def files_of(known: Format, path: Path) -> list[Path]:
    """One of ``weight_files``, followed by its shards if it is an index.

    Raises:
        CheckpointError: a shard is missing or is outside the directory, or the index is empty.
    """
    return [path, *_shards(path.parent, known)] if path.name == known.index else [path]


def _shards(directory: Path, known: Format) -> list[Path]:
    """The shards in an index, each once, sorted by name."""
    path = directory / known.index
    index = read_json(directory, known.index)
    mapping = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(name, str) for name in mapping.values()):
        raise CheckpointError(path, "no usable weight_map: it must name a file for every tensor")
    for name in sorted(set(mapping.values())):
        if Path(name).name != name or "\\" in name or "\0" in name:
            raise CheckpointError(path, f"names the shard {brief(name)}, which lies outside the directory")
        if not is_regular(directory / name):
            shown = name if name.isprintable() and len(name) < 200 else brief(name)
            raise CheckpointError(path, f"names the shard {shown}, which is missing")
    return [directory / name for name in sorted(set(mapping.values()))]


def open_weights(known: Format, files: list[Path]) -> Opened:
    """Indexes all files and combines them.

    Raises:
        CheckpointError: a file cannot be read, or two of them have the same tensor or different layouts.
    """
    whole: Opened | None = None
    for path in (path for path in files if path.name != known.index):
        part = known.open(path)
        if whole is None:
            whole = part
            continue
        if part.layout != whole.layout:
            raise CheckpointError(path, f"layout {part.layout}, but the shard before it has {whole.layout}")
        twice = next((name for name in part.tensors if name in whole.tensors), None)
        if twice is not None:
            raise CheckpointError(path, f"tensor {brief(twice)} is in another shard too")
        whole.tensors.update(part.tensors)
        whole.others += part.others
    if whole is None:
        raise CheckpointError(files[0], "does not list any shard")
    return whole
