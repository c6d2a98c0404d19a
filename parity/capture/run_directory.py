"""The run directory: a manifest and readable links to traces, whole in itself, so that it can be moved and judged."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from parity.capture.locks import Held, leave, take
from parity.capture.task import CaptureError
from parity.core.subject import Subject

RUNS = Path("runs")
"""Where runs are kept when no directory is named, below the working directory."""
MANIFEST = "manifest.json"
LOCK = ".lock"
_HELD: ContextVar[frozenset[Path]] = ContextVar("_HELD", default=frozenset())
"""Run directories that whoever calls has locked already: an audit captures and judges under one lock."""


def run_directory(out: Path | None = None) -> Path:
    """The directory that was named, or ``runs/<UTC time>``, the first that does not exist; nothing is created yet."""
    if out is not None:
        return out
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    candidates = [RUNS / stamp, *(RUNS / f"{stamp}-{number}" for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


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
    try:
        descriptor = take(out / LOCK)
    except Held:
        raise CaptureError(f"{out}: another run is at work in this directory; name another one") from None
    before = _HELD.set(_HELD.get() | {place})
    try:
        yield
    finally:
        _HELD.reset(before)
        leave(out / LOCK, descriptor)
        with contextlib.suppress(OSError):
            # Of a run that never began nothing stays, not even its directory.
            for folder in new:
                folder.rmdir()


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
