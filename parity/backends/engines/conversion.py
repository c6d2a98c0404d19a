"""Conversions of a checkpoint for an engine: made once and cached, or given; recorded beside the files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from parity.backends.protocol import UnexpectedReturn

RECORD = "parity-conversion.json"
SCHEMA = 1


class UnusableFiles(UnexpectedReturn):
    """Converted files that an engine cannot use; the message names the file and the cause in one line."""


@dataclass(frozen=True)
class Conversion:
    """Files for an engine.

    Attributes:
        path: their folder.
        record: the content of ``parity-conversion.json``; empty for given files without one.
    """

    path: Path
    record: Mapping[str, Any]


def converted(
    checkpoint: Path,
    engine: str,
    settings: Mapping[str, Any],
    convert: Callable[[Path], None],
    cache: Path,
    given: Path | None = None,
    *,
    distributions: Iterable[str] = (),
) -> Conversion:
    """The files for an engine: those given, else those in the cache, else made now.

    Files are made in a temporary folder, which is renamed when they are complete. Files in the cache without the
    recorded digests are made again.

    Args:
        checkpoint: the directory to convert, whose files are all part of the key.
        engine: the backend's name.
        settings: of the conversion, in JSON types.
        convert: writes the files into a folder; its exceptions propagate unchanged.
        cache: the cache folder; conversions are below ``engines``.
        given: a folder of converted files, which is used as it is.
        distributions: those whose versions determine the files.

    Raises:
        UnusableFiles: ``given`` has a record that its files or this checkpoint contradict.
    """
    if given is not None:
        return Conversion(given, verified(given, files_digest(checkpoint)))
    digest, versions = files_digest(checkpoint), versions_of(distributions)
    about = {"engine": engine, "settings": dict(settings), "versions": versions, "checkpoint": digest}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache / "engines" / key
    if folder.is_dir():
        try:
            return Conversion(folder, verified(folder, digest))
        except UnusableFiles:
            shutil.rmtree(folder)
    part = folder.with_name(f".part-{uuid.uuid4().hex}")
    part.mkdir(parents=True)
    try:
        convert(part)
        record = {"schema": SCHEMA, **about, "files": file_digests(part)}
        (part / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        try:
            part.rename(folder)
        except OSError:  # another process made the same files meanwhile
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Conversion(folder, read_record(folder))


def verified(folder: Path, checkpoint: str = "") -> dict[str, Any]:
    """The record of a folder, after its files were compared with it; empty where there is none.

    Args:
        checkpoint: the digest of the checkpoint that it should be a conversion of; "" to leave that out.

    Raises:
        UnusableFiles: the record is unreadable, of another checkpoint, or a file is absent or has another digest.
    """
    record = read_record(folder)
    if not record:
        return record
    made_from = str(record.get("checkpoint", ""))
    if checkpoint and made_from != checkpoint:
        both = f"digest {made_from[:12]}, this one {checkpoint[:12]}"
        raise UnusableFiles(f"{folder / RECORD}: converted from another checkpoint ({both})")
    files = record.get("files", {})
    for name, digest in files.items() if isinstance(files, dict) else ():
        path = folder / str(name)
        if Path(str(name)).name != name or not path.is_file():
            raise UnusableFiles(f"{folder / RECORD}: names the file {str(name)!r:.100}, which is not there")
        if sha256_of(path) != digest:
            raise UnusableFiles(f"{path}: changed since it was converted: not the digest in {RECORD}")
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """The record beside converted files; empty where there is none.

    Raises:
        UnusableFiles: it is no JSON object.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise UnusableFiles(f"{path}: not readable as JSON: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise UnusableFiles(f"{path}: not a JSON object")
    return found


def files_digest(folder: Path) -> str:
    """sha256 over names and contents of a folder's files, by name; of a checkpoint ``Checkpoint.digest``."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in file_digests(folder).items())
    return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """sha256 of each file in a folder, by name, sorted."""
    files = sorted((entry.name, entry.path) for entry in os.scandir(folder) if entry.is_file())
    return {name: sha256_of(Path(path)) for name, path in files}


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions; a distribution that is not installed is absent."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
