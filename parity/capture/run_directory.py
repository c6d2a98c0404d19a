"""The run directory: a manifest and links to traces with readable names, self-contained so that it can be moved and
judged."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from parity.capture.locks import Locked, leave, take
from parity.capture.task import CaptureError
from parity.core.subject import Subject

RUNS = Path("runs")
"""Default parent of run directories, in the working directory."""
MANIFEST = "manifest.json"
LOCK = ".lock"
_HELD: ContextVar[frozenset[Path]] = ContextVar("_HELD", default=frozenset())
"""Run directories already locked by the caller: an audit captures and judges under one lock."""


def run_directory(out: Path | None = None) -> Path:
    """The given directory, or ``runs/<UTC time>``, the first that does not exist; nothing is created yet."""
    if out is not None:
        return out
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    candidates = [RUNS / stamp, *(RUNS / f"{stamp}-{number}" for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Locks a run directory, so that no two processes write to it at once.

    The lock is the operating system's, on the file ``.lock`` in the directory, so it is released however the process
    ends. The file is removed at the end. Without a writable directory or file system locks there is no lock.

    Raises:
        CaptureError: another process, or another thread of this one, holds the directory.
    """
    directory = out.absolute()
    if directory in _HELD.get():
        yield
        return
    new = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        descriptor = take(out / LOCK)
    except Locked:
        raise CaptureError(f"{out}: another run is using this directory; choose another one") from None
    before = _HELD.set(_HELD.get() | {directory})
    try:
        yield
    finally:
        _HELD.reset(before)
        leave(out / LOCK, descriptor)
        with contextlib.suppress(OSError):
            # A run that never started leaves nothing behind, not even its directory.
            for folder in new:
                folder.rmdir()


def prepare(folder: Path, what: str) -> None:
    """Creates a folder and checks that it is writable.

    Raises:
        CaptureError: it is not; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".part-{os.getpid()}"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        raise CaptureError(f"{folder}: {what} cannot be written: {error.strerror or error}") from error


def clear(out: Path) -> None:
    """Removes an earlier run's manifest and traces, so that the directory contains only this run's."""
    (out / MANIFEST).unlink(missing_ok=True)
    for path in (out / "traces").glob("*.safetensors"):
        path.unlink()


def trace_name(checkpoint: str, subject: Subject, case: str) -> str:
    """``bart-odd.hf-torch.sdpa.main.cpu.float32.forward.safetensors``."""
    parts = (checkpoint, subject.backend, subject.variant, subject.stack, subject.device, subject.dtype, case)
    return ".".join(re.sub(r"[^\w+=@.-]+", "_", part) for part in parts) + ".safetensors"


def link(source: Path, target: Path) -> None:
    """Creates a hard link, or a copy where links are not possible; no partial copy remains.

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
        # A rename onto another link to the same file leaves both names, so the target is removed first.
        part.unlink(missing_ok=True)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CaptureError(f"{target}: cannot be written: {error.strerror or error}") from error
