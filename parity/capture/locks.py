"""File locks of the operating system, which are released however a process ends.

Importing this module raises an ImportError on Windows, which has no ``fcntl``.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:
    raise ImportError("parity needs a POSIX system; on Windows run it in WSL 2") from None


class Locked(Exception):
    """Another process, or another thread of this one, holds the lock."""


def take(path: Path) -> int | None:
    """Takes an exclusive lock on a file, creating it if necessary; the lock ends with the descriptor.

    Returns:
        The descriptor; None where the file cannot be created or its file system has no locks.

    Raises:
        Locked: the lock is already held.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have removed the file between the two calls; this lock would then be on an unlinked file.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Locked(str(path)) from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)


def leave(path: Path, descriptor: int | None) -> None:
    """Releases a lock and removes its file while still locked, so that no other holder's file is removed."""
    if descriptor is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)
