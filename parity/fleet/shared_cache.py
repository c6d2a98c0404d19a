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
from parity.core.trace import Trace
from parity.fleet.objects import MESSAGE, Objects


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
        self._objects = Objects(url, "--cache")

    def check(self) -> None:
        """``Objects.check``."""
        self._objects.check()

    def find(self, key: str) -> Trace | None:
        """The trace of the local copy, else of the shared cache, which is copied first."""
        found = super().find(key)
        if found is not None or self.problem:
            return found
        path = self.path(key)
        part = path.with_name(f".part-{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._objects.copy_to(_object(key), str(part))
            part.replace(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system has exceptions of its own
            self._failed("read", error)
            return None
        finally:
            part.unlink(missing_ok=True)
        return super().find(key)

    def publish(self, keys: Iterable[str]) -> None:
        """Adds traces to the shared cache, unless it has them."""
        for key in () if self.problem else keys:
            path, name = self.path(key), _object(key)
            try:
                if path.is_file() and not self._objects.exists(name):
                    self._objects.copy_from(str(path), name)
            except Exception as error:
                self._failed("written", error)
                return

    def _failed(self, what: str, error: Exception) -> None:
        self.problem = self.problem or f"{self.url}: cannot be {what}: {sentence(error, MESSAGE)}"


def _object(key: str) -> str:
    return f"{key[:2]}/{key}.safetensors"
