"""Objects at a URL that fsspec opens: each whole or absent, whoever writes at the same time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parity.core.display import sentence
from parity.core.errors import InputError

WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory")
"""Protocols whose objects appear as a whole when they are complete. Elsewhere a file is written beside its place, and
renamed."""
BATCH = 64
"""Objects that are read at once."""
MESSAGE = 400


def is_url(text: str) -> bool:
    """Whether a location is a URL, and not a directory of this machine."""
    return "://" in text


class Objects:
    """The objects below a URL, by names such as ``cells/a.parquet``.

    Methods raise what the file system raises: each has exceptions of its own.

    Args:
        url: ``s3://bucket/prefix``, ``gs://…``, ``file:///…``, whatever fsspec and its packages can open.
        option: that named it, for messages.

    Raises:
        InputError: fsspec, or its package for this protocol, is not installed, or the URL is not one.
    """

    def __init__(self, url: str, option: str) -> None:
        self._shown = f"{option} {url}".lstrip()
        try:
            import fsspec
        except ImportError as error:
            raise InputError(f"{self._shown}: needs fsspec: pip install 'encdec-parity[ray]'") from error
        try:
            self.files, path = fsspec.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise InputError(f"{self._shown}: cannot be used: {sentence(error, MESSAGE)}") from error
        self._root = path.rstrip("/")
        protocols = self.files.protocol
        names = [protocols] if isinstance(protocols, str) else protocols
        self._whole = any(name in WHOLE for name in names)

    def path(self, name: str) -> str:
        """Of an object, as fsspec names it."""
        return f"{self._root}/{name}"

    def check(self) -> None:
        """Writes, reads and removes an object, so that missing rights are found before the work.

        Raises:
            InputError: one of these fails.
        """
        name = self.path(f".part-{uuid.uuid4().hex}")
        try:
            if not self._whole:
                self.files.makedirs(self._root, exist_ok=True)
            self.files.pipe_file(name, b"1")
            if self.files.cat_file(name) != b"1":
                raise OSError("an object is not read as it was written")
            self.files.rm_file(name)
        except Exception as error:
            raise InputError(f"{self._shown}: cannot be used: {sentence(error, MESSAGE)}") from error

    def exists(self, name: str) -> bool:
        return self.files.exists(self.path(name))

    def names(self, folder: str) -> list[str]:
        """The names of the objects in a folder, sorted; without those that are being written."""
        self.files.invalidate_cache()
        try:
            found = self.files.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rpartition("/")[2] for path in found)
        return sorted(f"{folder}/{name}" for name in names if name and not name.startswith("."))

    def read(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yields their contents, some of which are read at the same time."""
        for start in range(0, len(names), BATCH):
            paths = [self.path(name) for name in names[start : start + BATCH]]
            none = [None] * len(paths)
            for content in self.files.cat_ranges(paths, none, none, on_error="return"):
                if isinstance(content, BaseException):
                    raise content
                yield content

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Writes objects, in any order, over those that are there."""
        if self._whole:
            self.files.pipe({self.path(name): content for name, content in contents.items()})
            return
        for name, content in contents.items():
            self._by_renaming(name, self.files.pipe_file, content)

    def copy_from(self, source: str, name: str) -> None:
        """Writes a file of this machine as an object."""
        if self._whole:
            self.files.put_file(source, self.path(name))
        else:
            self._by_renaming(name, lambda part, content: self.files.put_file(content, part), source)

    def copy_to(self, name: str, target: str) -> None:
        """Writes an object into a file of this machine."""
        self.files.get_file(self.path(name), target)

    def _by_renaming(self, name: str, write: Any, content: Any) -> None:
        path = self.path(name)
        folder = path.rpartition("/")[0]
        part = f"{folder}/.part-{uuid.uuid4().hex}"
        self.files.makedirs(folder, exist_ok=True)
        try:
            write(part, content)
            self.files.mv(part, path)
        except Exception:
            if self.files.exists(part):
                self.files.rm_file(part)
            raise
