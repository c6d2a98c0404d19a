"""Locks of the operating system on files: however a process ends, it holds none afterwards.

Importing it raises an ImportError on Windows, which has no ``fcntl``.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:
    raise ImportError("parity needs a POSIX system; on Windows run it in WSL 2") from None


class Held(Exception):
    """Another process, or another thread of this one, holds the lock."""


def take(path: Path) -> int | None:
    """Locks a file, made if need be, for this process alone; the lock ends with the descriptor.

    Returns:
        The descriptor; None where the file cannot be made or its file system has no locks.

    Raises:
        Held: somebody else holds it.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two calls whoever held it may have taken the file away: then this lock is on nothing.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Held(str(path)) from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)


def leave(path: Path, descriptor: int | None) -> None:
    """Ends a lock and takes its file away, while it is held, so that nobody else's is taken away."""
    if descriptor is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)
