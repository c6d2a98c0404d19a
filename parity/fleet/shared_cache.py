"""A trace cache that machines share: an object store or network disk, by fsspec, with local copies.

A trace's own digest detects damage. It is no signature: whoever can write to the shared cache can choose what an audit
reads as the result of a backend (docs/fleet.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from parity.capture.cache import TraceCache
from parity.core.display import sentence
from parity.core.errors import InputError
from parity.core.trace import Trace

WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory")
"""Protocols whose objects appear as a whole when they are complete. Elsewhere a file is written beside its place, and
renamed."""
MESSAGE = 400


class SharedTraceCache(TraceCache):
    """Reads a trace that is not here from the shared cache, and adds new ones to it.

    An object's name is the key of its trace, as in a local cache. Writers of one key write the same trace, so that the
    last one wins. An error of the shared cache is no error of an audit, which computes what it cannot read. It is kept
    in ``problem``, and from then on only the local cache is used: a server that is down is waited for once.

    Args:
        folder: of the local copies, and of what is not shared.
        url: ``s3://bucket/prefix``, ``gs://…``, ``file:///…``, whatever fsspec and its packages can open.

    Raises:
        InputError: fsspec, or its package for this protocol, is not installed, or the URL is not one.
    """

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url, self.problem = url, ""
        try:
            import fsspec
        except ImportError as error:
            raise InputError(f"--cache {url}: needs fsspec: pip install 'encdec-parity[ray]'") from error
        try:
            self._files, path = fsspec.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise InputError(f"--cache {url}: cannot be used: {sentence(error, MESSAGE)}") from error
        self._root = path.rstrip("/")
        protocols = self._files.protocol
        names = [protocols] if isinstance(protocols, str) else protocols
        self._whole = any(name in WHOLE for name in names)

    def check(self) -> None:
        """Writes, reads and removes an object, so that missing rights are found before the work.

        Raises:
            InputError: one of these fails.
        """
        name = f"{self._root}/.part-{uuid.uuid4().hex}"
        try:
            if not self._whole:
                self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(name, b"1")
            if self._files.cat_file(name) != b"1":
                raise OSError("an object is not read as it was written")
            self._files.rm_file(name)
        except Exception as error:  # each file system has exceptions of its own
            raise InputError(f"--cache {self.url}: cannot be used: {sentence(error, MESSAGE)}") from error

    def find(self, key: str) -> Trace | None:
        """The trace of the local copy, else of the shared cache, which is copied first."""
        found = super().find(key)
        if found is not None or self.problem:
            return found
        path = self.path(key)
        part = path.with_name(f".part-{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files.get_file(self._object(key), str(part))
            part.replace(path)
        except FileNotFoundError:
            return None
        except Exception as error:
            self._failed("read", error)
            return None
        finally:
            part.unlink(missing_ok=True)
        return super().find(key)

    def publish(self, keys: Iterable[str]) -> None:
        """Adds traces to the shared cache, unless it has them."""
        for key in () if self.problem else keys:
            path, name = self.path(key), self._object(key)
            try:
                if path.is_file() and not self._files.exists(name):
                    self._put(path, name)
            except Exception as error:
                self._failed("written", error)
                return

    def _put(self, path: Path, name: str) -> None:
        if self._whole:
            self._files.put_file(str(path), name)
            return
        folder = name.rpartition("/")[0]
        part = f"{folder}/.part-{uuid.uuid4().hex}"
        self._files.makedirs(folder, exist_ok=True)
        try:
            self._files.put_file(str(path), part)
            self._files.mv(part, name)
        except Exception:
            if self._files.exists(part):
                self._files.rm_file(part)
            raise

    def _object(self, key: str) -> str:
        return f"{self._root}/{key[:2]}/{key}.safetensors"

    def _failed(self, what: str, error: Exception) -> None:
        self.problem = self.problem or f"{self.url}: cannot be {what}: {sentence(error, MESSAGE)}"
