"""The files of a checkpoint that a worker receives: whether they are unchanged since they were hashed, and their paths
in texts.

A worker loads from a private directory (``parity.capture.views``). Files may change meanwhile, so device, inode, size
and times of every file are compared before and after each case.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.core.files import status_of
from parity.core.trace import Trace

SHORTEST = 24
"""Length from which a truncated private path at the end of a text is removed."""


class FilesChanged(Exception):
    """A file changed after it was hashed; the message names it. Results loaded from it are invalid."""


class Refused(Exception):
    """The backend must not load this checkpoint; the message has the reason (``parity.capture.refusals``)."""


class Handed:
    """The files of one checkpoint, as they were when they were hashed.

    Args:
        files: for each its ``name``, ``path`` (where it is, links resolved), ``status`` (``status_of``) and ``sha256``.
        directory: the user's directory, for messages.
    """

    def __init__(self, files: Iterable[Mapping[str, Any]], directory: str) -> None:
        self._files, self._directory = list(files), directory
        self._known = {file["name"]: tuple(file["status"]) for file in self._files}
        self._other: dict[str, tuple[int, ...]] = {}

    def before(self) -> None:
        """Before a case: hashes each file again whose status has changed.

        Raises:
            FilesChanged: a file's content has changed, or it is gone.
        """
        for file in self._files:
            status = self._status(file)
            if status == self._known[file["name"]]:
                continue
            # A file that was touched, or replaced and restored, has the same content; a changed one is hashed only
            # once.
            if status == self._other.get(file["name"]) or _sha256(file["path"]) != file["sha256"]:
                self._other[file["name"]] = status
                raise FilesChanged(f"{self._directory}/{file['name']}: changed since the run began")
            if self._status(file) != status:
                raise FilesChanged(f"{self._directory}/{file['name']}: changed while it was read")
            self._known[file["name"]] = status

    def after(self) -> None:
        """After a case: compares each file's status.

        Raises:
            FilesChanged: a file's status differs from ``before``: it was replaced, and perhaps restored.
        """
        for file in self._files:
            if self._status(file) != self._known[file["name"]]:
                raise FilesChanged(f"{self._directory}/{file['name']}: changed while it was used")

    def _status(self, file: Mapping[str, Any]) -> tuple[int, ...]:
        try:
            return status_of(file["path"])
        except OSError as error:
            name = f"{self._directory}/{file['name']}"
            raise FilesChanged(f"{name}: no longer exists: {error.strerror or error}") from error


def _sha256(path: str) -> str:
    """A file's digest; empty where it cannot be read, or is no longer a regular file."""
    try:
        if not Path(path).is_file():
            return ""
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


class UsersPath:
    """Replaces the private path in a library's texts by the user's.

    Args:
        private: the directory that the backend loads from. users: the directory given by the user.
    """

    def __init__(self, private: str, users: str) -> None:
        self._private, self._users = private, users
        # Plain, and as escaped in JSON.
        self._forms = {private: users, json.dumps(private)[1:-1]: json.dumps(users)[1:-1]}

    def text(self, text: str) -> str:
        """The text with the user's path; a truncated private path at the end of the text is removed."""
        if self._private == self._users:
            return text
        for private, users in self._forms.items():
            text = text.replace(private, users)
        cut = next((n for n in range(len(self._private) - 1, SHORTEST, -1) if text.endswith(self._private[:n])), 0)
        return f"{text[:-cut]}…" if cut else text

    def value(self, value: Any) -> Any:
        """JSON data with all strings and keys replaced so."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.value, value)) if not hasattr(value, "_fields") else value
        return value

    def trace(self, trace: Trace) -> Trace:
        """A trace whose facts and exception contain the user's path."""
        raised = trace.raised and replace(trace.raised, message=self.text(trace.raised.message))
        return replace(trace, facts=self.value(trace.facts), raised=raised)

    def in_files(self, folder: Path) -> None:
        """Rewrites the JSON files that a library saved into a folder."""
        if self._private == self._users:
            return
        for path in folder.glob("*.json"):
            content = path.read_bytes()
            changed = content
            for private, users in self._forms.items():
                changed = changed.replace(private.encode(), users.encode(errors="surrogatepass"))
            if changed != content:
                path.write_bytes(changed)
