"""Private directories, one per checkpoint of a run: backends load from these, never from the user's own.

A private directory contains only the files that backends receive (``parity.checkpoint.files``). Small files are copied,
and hashed while copied. A large file is a link to the file, which the run holds open: a copy is too expensive, and a
hard link would change the user's file (its times, its link count) and needs the same file system. Writes to it in the
meantime show in its times (``parity.capture.worker.handed_files``).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import TracebackType

from parity.capture.locks import Locked, leave, take
from parity.capture.task import CaptureError
from parity.capture.worker.handed_files import FilesChanged
from parity.checkpoint.files import HandedFile
from parity.core.files import status_of

COPIED = 64 << 20
"""Largest file size in bytes that is copied."""
_LOCK = ".lock"
_PIECE = 1 << 20


class Views:
    """The private directories of one run, removed at its end; those of a killed run are removed when the next one
    starts.

    Args:
        folder: their parent; each run has a subfolder in it that only the user can read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._own: Path | None = None
        self._lock: int | None = None
        self._made = 0
        self._held: list[int] = []

    def __enter__(self) -> Views:
        self.sweep()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            own = Path(tempfile.mkdtemp(dir=self._folder)).resolve()
        except OSError as error:
            raise CaptureError(f"{self._folder}: cannot be written: {error.strerror or error}") from error
        self._own, self._lock = own, take(own / _LOCK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._held:
            os.close(descriptor)
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            leave(self._own / _LOCK, self._lock)

    def sweep(self) -> None:
        """Removes the directories of killed runs: a live run holds its directory's lock."""
        for view in self._folder.glob("*") if self._folder.is_dir() else ():
            if not (view / _LOCK).exists():
                # Its run has not taken the lock yet, or has just ended; only an old directory is abandoned.
                _remove_old(view)
                continue
            try:
                lock = take(view / _LOCK)
            except Locked:
                continue
            if lock is not None:
                shutil.rmtree(view, ignore_errors=True)
                leave(view / _LOCK, lock)

    def make(self, directory: Path, files: tuple[HandedFile, ...], unexamined: frozenset[str]) -> Path:
        """Creates a private directory with these files.

        Args:
            directory: the user's directory, for messages.
            unexamined: names of files that are created empty: a library chooses among files as it would in the user's
                directory, and a backend that would read one of these is not run (``parity.capture.refusals``).

        Raises:
            FilesChanged: a file changed after it was hashed, or is gone.
            CaptureError: the private directory cannot be written.
        """
        if self._own is None:
            raise RuntimeError("views can only be created inside the context manager")
        self._made += 1
        view = self._own / str(self._made)
        try:
            view.mkdir(mode=0o700)
            for file in files:
                if file.name in unexamined:
                    (view / file.name).touch(0o400)
                elif file.status[2] <= COPIED:
                    self._copy(directory, file, view / file.name)
                else:
                    (view / file.name).symlink_to(self._opened(directory, file))
        except OSError as error:
            raise CaptureError(f"{view}: cannot be written: {error.strerror or error}") from error
        return view

    def _opened(self, directory: Path, file: HandedFile) -> Path:
        """The link target for a file: the file held open here, so that replacing it or a folder around it has no
        effect. Where the system has no such path, or too many files are open, the file's own path."""
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return file.path
            raise FilesChanged(f"{directory / file.name}: can no longer be read: {error.strerror}") from error
        self._held.append(descriptor)
        if status_of(descriptor) != file.status:
            raise FilesChanged(f"{directory / file.name}: changed since the run began")
        held = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        return held if held.exists() else file.path

    def _copy(self, directory: Path, file: HandedFile, target: Path) -> None:
        digest = hashlib.sha256()
        try:
            # It may have been replaced by a pipe, on which a plain open would block forever.
            source = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FilesChanged(f"{directory / file.name}: can no longer be read: {error.strerror}") from error
        try:
            regular = stat.S_ISREG(os.fstat(source).st_mode)
            with target.open("xb") as copy:
                while regular and (piece := os.read(source, _PIECE)):
                    digest.update(piece)
                    copy.write(piece)
        finally:
            os.close(source)
        target.chmod(0o400)
        if digest.hexdigest() != file.sha256 or status_of(file.path) != file.status:
            raise FilesChanged(f"{directory / file.name}: changed since the run began")


def _remove_old(view: Path) -> None:
    import time

    try:
        if time.time() - view.stat().st_mtime > 900.0:
            shutil.rmtree(view, ignore_errors=True)
    except OSError:  # removed in the meantime
        pass
