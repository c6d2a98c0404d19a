"""The files in a checkpoint's directory: those passed to backends, with digests, and all others.

Only files with known names are passed: the configs, the tokenizer's files, weights of known formats with the shards in
their index, and files in the directory that these refer to and a library reads instead. Links are resolved first,
because a hub snapshot consists of them; anything but a regular file is refused unopened.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.core.files import status_of
from reference.config import CONFIG_FILE, read_json
from reference.errors import CheckpointError
from reference.files import check_regular, check_size, largest
from reference.generation import GENERATION_FILE
from reference.weights import FORMATS
from reference.weights.files import Format

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tiktoken.model",
    "tokenizer.json",
    "tokenizer.model",
    TOKENIZER_CONFIG,
    "vocab.json",
    "vocab.txt",
)
"""Tokenizer files of the audited classes; a library reads ``tekken.json``, ``tiktoken.model`` and ``tokenizer.model``
where there is no ``tokenizer.json`` (transformers 4.57.6 and 5.23.0, tokenization_utils_base.py)."""
OPENED_BY_SUFFIX: dict[str, Format] = dict(zip((".safetensors", ".bin", ".h5", ".msgpack"), FORMATS, strict=True))
"""Suffixes by which libraries determine a shard's format, regardless of the index."""
LISTED = 200
"""Maximum number of unused files that are listed."""
_VERSIONED = {
    CONFIG_FILE: ("configuration_files", re.compile(r"config\.(.*)\.json")),
    TOKENIZER_CONFIG: ("fast_tokenizer_files", re.compile(r"tokenizer\.(.*)\.json")),
}
"""Fields that name files for other versions of a library, which are then read instead
(transformers 4.37.2 to 5.23.0, ``get_configuration_file`` and ``get_fast_tokenizer_file``)."""
_EXPLICIT = "transformers_weights"
Status = tuple[int, int, int, int, int]
"""Device, inode, size, and when it and its entry changed, in nanoseconds."""


@dataclass(frozen=True)
class HandedFile:
    """One file that backends receive."""

    name: str
    path: Path
    """Its path after resolving links."""
    status: Status
    sha256: str


@dataclass(frozen=True)
class Listing:
    """The files of a directory that are passed to backends, not yet read, and everything else in it."""

    directory: Path
    paths: Mapping[str, Path]
    """By name; where the file is, after its links."""
    unused: tuple[str, ...]
    """Other entries; a folder's name ends with a slash."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Index files among ``paths`` that refer to missing files, with the reason."""

    @property
    def weights(self) -> list[str]:
        """Names of whole weight files and of indexes, those the libraries look for."""
        known = [name for each in FORMATS for name in (each.file, each.index)]
        return [name for name in known if name in self.paths]


def list_files(directory: Path) -> Listing:
    """Finds the files that are passed to backends. Config files are read for references to other files; nothing else is
    opened.

    Raises:
        CheckpointError: there is no such directory; or a file of a known name is, after resolving links, not a regular
            file, or is not a weight file and is larger than the limit for such files (``reference.files.SIZES``): it
            would be digested and read.
    """
    if not directory.is_dir():
        raise CheckpointError(directory, "not a directory" if directory.exists() else "no such directory")
    try:
        present = {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(directory)}
    except OSError as error:
        raise CheckpointError(directory, f"cannot be read: {error.strerror or error}") from error
    paths: dict[str, Path] = {}
    refused: dict[str, str] = {}

    def add(names: Iterable[str]) -> None:
        for name in names:
            if name in present and name not in paths and (found := regular(directory / name)) is not None:
                if Path(name).suffix not in OPENED_BY_SUFFIX:
                    check_size(directory / name, found.stat().st_size, largest(name))
                paths[name] = found

    add((CONFIG_FILE, GENERATION_FILE, *TOKENIZER_FILES))
    add(name for each in FORMATS for name in (each.file, each.index))
    for holder in (CONFIG_FILE, TOKENIZER_CONFIG):
        add(filter(is_plain, versioned_names(directory, holder) if holder in paths else ()))
    explicit = next((name for name in explicit_weights(directory, paths) if is_plain(name)), "")
    add([explicit] if explicit.endswith((".safetensors", ".safetensors.index.json")) else [])
    for name in [name for name in paths if name.endswith(".index.json")]:
        try:
            add(shards_of(directory, name, present))
        except CheckpointError as error:
            refused[name] = error.cause
    others = sorted(f"{name}/" if folder else name for name, folder in present.items() if name not in paths)
    more = [f"… and {len(others) - LISTED:,} more"] if len(others) > LISTED else []
    return Listing(directory, dict(sorted(paths.items())), (*others[:LISTED], *more), refused)


def regular(path: Path) -> Path | None:
    """The regular file at a path, after resolving links; None for a dangling link.

    Raises:
        CheckpointError: it is a folder, a pipe, a device or anything else that is no regular file.
    """
    try:
        found = path.resolve(strict=True)
        mode = found.stat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # a link loop raises one or the other, by version
        raise CheckpointError(path, f"cannot be followed: {getattr(error, 'strerror', None) or error}") from error
    check_regular(path, mode)
    return found


def is_plain(name: str) -> bool:
    """Whether a file name in a config refers to a file in the directory itself."""
    return bool(name) and name not in (".", "..") and not set(name) & {"/", "\\", "\0"}


def json_object(directory: Path, name: str) -> Mapping[str, Any]:
    """A JSON file's object; empty where it is not one, which its later reader reports."""
    try:
        content = read_json(directory, name)
    except CheckpointError:
        return {}
    return content if isinstance(content, dict) else {}


def versioned_names(directory: Path, holder: str) -> list[str]:
    """Files that a config names for other versions of the library."""
    key, pattern = _VERSIONED[holder]
    named = json_object(directory, holder).get(key)
    return [name for name in named if isinstance(name, str) and pattern.search(name)] if isinstance(named, list) else []


def explicit_weights(directory: Path, names: Iterable[str]) -> list[str]:
    """Weight files named in configs, which are then read regardless of other files.

    Source: transformers 4.57.6 and 5.23.0, modeling_utils.py, ``transformers_explicit_filename``.
    """
    configs = [name for name in names if name == CONFIG_FILE or _VERSIONED[CONFIG_FILE][1].fullmatch(name)]
    found = [json_object(directory, name).get(_EXPLICIT) for name in configs]
    return [name if isinstance(name, str) else repr(name)[:40] for name in found if name is not None]


def shards_of(directory: Path, index: str, present: Iterable[str]) -> list[str]:
    """The shards that an index names, sorted.

    Raises:
        CheckpointError: the file is not an index; or it names a file outside the directory, a missing one, or one of an
            unknown format.
    """
    content = read_json(directory, index)
    mapping = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(name, str) for name in mapping.values()):
        raise CheckpointError(directory / index, "no usable weight_map: it must name a file for every tensor")
    names = sorted(set(mapping.values()))
    for name in names:
        if not is_plain(name):
            raise CheckpointError(directory / index, f"names the shard {name!r:.100}, which lies outside the directory")
        if Path(name).suffix not in OPENED_BY_SUFFIX:
            raise CheckpointError(directory / index, f"names the shard {name!r:.100}, which is of no known format")
        if name not in present or regular(directory / name) is None:
            raise CheckpointError(directory / index, f"names the shard {name!r:.100}, which is missing")
    return names


def examine(listing: Listing) -> dict[str, str]:
    """Weight files that may contain more than tensors, with the reason; without running any of their code.

    These are pickles that import more than tensors need, and indexes or shards that cannot be read.
    """
    found = dict(listing.refused)
    for name in listing.paths:
        known = OPENED_BY_SUFFIX.get(Path(name).suffix)
        if known is None:
            continue
        try:
            known.open(listing.paths[name])
            if known.name == "bin":
                _no_script(listing.paths[name])
        except CheckpointError as error:
            found[name] = error.cause
    for name in listing.paths:
        if name.endswith(".index.json") and name not in found:
            shards = shards_of(listing.directory, name, listing.paths)
            broken = next((shard for shard in shards if shard in found), None)
            if broken is not None:
                found[name] = f"names the shard {broken}: {found[broken]}"
    return found


def _no_script(path: Path) -> None:
    """Refuses a TorchScript archive: ``torch.load`` treats an archive with ``constants.pkl`` as a program.

    Source: torch 2.13, serialization.py, ``_is_torchscript_zip``.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise CheckpointError(path, "a program of torch.jit.save, not a state dict; nothing was executed")


def statuses(listing: Listing) -> dict[str, Status]:
    """The status of every passed file, taken before the first one is read.

    Raises:
        CheckpointError: one is gone.
    """
    return dict(_each_status(listing))


def _each_status(listing: Listing) -> Iterator[tuple[str, Status]]:
    for name, path in listing.paths.items():
        try:
            yield name, status_of(path)
        except OSError as error:
            raise CheckpointError(listing.directory / name, f"cannot be read: {error.strerror or error}") from error


def digested(listing: Listing, before: Mapping[str, Status]) -> tuple[HandedFile, ...]:
    """Every file with its sha256, after all other reads.

    Args:
        before: ``statuses`` of the same listing.

    Raises:
        CheckpointError: a file cannot be read, or changed since ``before``.
    """
    found = []
    for name, path in listing.paths.items():
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(listing.directory / name, f"cannot be read: {error.strerror or error}") from error
        found.append(HandedFile(name, path, before[name], digest))
    for name, status in _each_status(listing):
        if status != before[name]:
            raise CheckpointError(listing.directory / name, "changed while it was read; nothing of it was executed")
    return tuple(found)
