"""Where the results of a fleet are: a directory of this machine, or a URL that fsspec opens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from parity.capture.run_directory import locked
from parity.core.display import sentence
from parity.core.errors import OutputError
from parity.core.records import RecordError, record_bytes
from parity.fleet.objects import MESSAGE, Objects, is_url


class Place(Protocol):
    """Files by names such as ``cells/a.parquet``, each whole or absent."""

    def shown(self, name: str = "") -> str:
        """The place, or a file of it, as a user names it."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from writing here, where the place has locks.

        Raises:
            InputError: another process has it, or the place cannot be used.
        """
        ...

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, sorted.

        Raises:
            RecordError: they cannot be listed.
        """
        ...

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yields their contents.

        Raises:
            RecordError: one is missing or cannot be read.
        """
        ...

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Writes files, in any order, over those that are there.

        Raises:
            OutputError: one cannot be written.
        """
        ...


def place_of(location: str | Path) -> Place:
    """A directory or URL as a place.

    Raises:
        InputError: it is a URL that fsspec cannot open.
    """
    return Remote(location) if isinstance(location, str) and is_url(location) else Directory(Path(location))


class Directory:
    """A directory of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def shown(self, name: str = "") -> str:
        return str(self._path / name)

    def locked(self) -> AbstractContextManager[None]:
        return locked(self._path)

    def names(self, folder: str) -> list[str]:
        return sorted(f"{folder}/{path.name}" for path in (self._path / folder).glob("[!.]*"))

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        for name in names:
            yield record_bytes(self._path / name)

    def write(self, contents: Mapping[str, bytes]) -> None:
        try:
            for name, content in contents.items():
                _write_bytes(self._path / name, content)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror}") from error


class Remote:
    """A URL. An object store has no locks: two commands that write to one place leave whole objects, of either."""

    def __init__(self, url: str) -> None:
        self._url, self._objects = url.rstrip("/"), Objects(url, "")

    def shown(self, name: str = "") -> str:
        return f"{self._url}/{name}".rstrip("/")

    def locked(self) -> AbstractContextManager[None]:
        self._objects.check()
        return nullcontext()

    def names(self, folder: str) -> list[str]:
        try:
            return self._objects.names(folder)
        except Exception as error:
            raise RecordError(f"{self.shown(folder)}: cannot be listed: {sentence(error, MESSAGE)}") from error

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        try:
            yield from self._objects.read(names)
        except Exception as error:
            what = self.shown(names[0] if len(names) == 1 else "")
            cause = os.strerror(2) if isinstance(error, FileNotFoundError) else sentence(error, MESSAGE)
            raise RecordError(f"{what}: cannot be read: {cause}") from error

    def write(self, contents: Mapping[str, bytes]) -> None:
        try:
            self._objects.write(contents)
        except Exception as error:
            raise OutputError(f"{self._url}: cannot be written: {sentence(error, MESSAGE)}") from error


def _write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{path.name}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
