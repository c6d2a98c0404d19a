"""What a checkpoint that cannot be read raises."""

from __future__ import annotations

import os


class CheckpointError(ValueError):
    """A checkpoint's file is missing, unreadable or inconsistent; the message is one line, ``path: cause``."""

    def __init__(self, path: str | os.PathLike[str], cause: str) -> None:
        self.path = os.fspath(path)
        self.cause = " ".join(str(cause).split())
        super().__init__(f"{self.path}: {self.cause}")

    def __reduce__(self) -> tuple[type[CheckpointError], tuple[str, str]]:
        # Two arguments made the one message: without this the error would not survive a process boundary.
        return CheckpointError, (self.path, self.cause)
