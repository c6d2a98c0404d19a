"""The run directory: a manifest and readable links to traces, whole in itself, so that it can be moved and judged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from parity.capture.tasks import CaptureError
from parity.subjects import Subject

MANIFEST = "manifest.json"
LOCK = ".lock"
_HELD: ContextVar[frozenset[Path]] = ContextVar("_HELD", default=frozenset())
"""Run directories that whoever calls has locked already: an audit captures and judges under one lock."""


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds a run directory for this process alone, so that no two write to it at once.

    The lock is the operating system's, on the file ``.lock`` in it: however a process ends, nothing stays locked. The
    file is taken away at the end. Where it cannot be made, or the file system has no locks, there is none.

    Raises:
        CaptureError: another process, or another thread of this one, holds the directory.
    """
    place = out.absolute()
    if place in _HELD.get():
        yield
        return
    new = [folder for folder in (place, *place.parents) if not folder.exists()]
    descriptor = _take(out / LOCK)
    before = _HELD.set(_HELD.get() | {place})
    try:
        yield
    finally:
        _HELD.reset(before)
        if descriptor is not None:
            # While the lock is held, so that nobody else's file is taken away.
            (out / LOCK).unlink(missing_ok=True)
            os.close(descriptor)
        with contextlib.suppress(OSError):
            # Of a run that never began nothing stays, not even its directory.
            for folder in new:
                folder.rmdir()


def _take(path: Path) -> int | None:
    """The descriptor that holds the lock; None where there can be no lock."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError:
            # Whoever writes the first file there says why it cannot be written.
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two calls the one before may have taken its file away: then this lock is on nothing.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise CaptureError(f"{path.parent}: another run is at work in this directory; name another one") from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)


def prepare(folder: Path, what: str) -> None:
    """Makes a folder and sees that it can be written.

    Raises:
        CaptureError: it cannot; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".part-{os.getpid()}"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        raise CaptureError(f"{folder}: {what} cannot be written: {error.strerror or error}") from error


def clear(out: Path) -> None:
    """Removes an earlier run's manifest and traces: what is there when a run ends is of that run."""
    (out / MANIFEST).unlink(missing_ok=True)
    for path in (out / "traces").glob("*.safetensors"):
        path.unlink()


def trace_name(checkpoint: str, subject: Subject, case: str) -> str:
    """``bart-odd.hf-torch.sdpa.main.cpu.float32.forward.safetensors``."""
    parts = (checkpoint, subject.backend, subject.variant, subject.stack, subject.device, subject.dtype, case)
    return ".".join(re.sub(r"[^\w+=@.-]+", "_", part) for part in parts) + ".safetensors"


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none; nothing half-copied is left.

    Raises:
        CaptureError: the target's folder cannot be written or is full.
    """
    part = target.with_name(f".part-{target.name}")
    try:
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        part.replace(target)
        # A rename onto another link to the same file leaves both names.
        part.unlink(missing_ok=True)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CaptureError(f"{target}: cannot be written: {error.strerror or error}") from error
