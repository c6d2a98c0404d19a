"""Private directories, one for each checkpoint of a run: backends are given these, and never the user's own.

One holds the files that are handed over (``parity.checkpoint.files``) and nothing else. Small files are copies, whose
digests are taken while they are copied. A large one is a link to the file, which the run holds open: a copy of it
costs more than it is worth, and a hard link would change the user's file (its times, its count of links) and needs the
same file system. What is written into it meanwhile shows in its times (``parity.capture.worker.handed_files``).
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

from parity.capture.locks import Held, leave, take
from parity.capture.task import CaptureError
from parity.capture.worker.handed_files import FilesChanged
from parity.checkpoint.files import HandedFile
from parity.core.files import status_of

COPIED = 64 << 20
"""Bytes up to which a file is copied."""
_LOCK = ".lock"
_PIECE = 1 << 20


class Views:
    """The private directories of one run, removed at its end; those of a run that was killed go when the next begins.

    Args:
        folder: where they are made; each run has one of its own in it, which only its user may read.
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
        """Removes what killed runs left: a run that is alive holds its directory's lock."""
        for place in self._folder.glob("*") if self._folder.is_dir() else ():
            if not (place / _LOCK).exists():
                # Its run has not taken the lock yet, or has just ended; only an old one is nobody's.
                _remove_old(place)
                continue
            try:
                lock = take(place / _LOCK)
            except Held:
                continue
            if lock is not None:
                shutil.rmtree(place, ignore_errors=True)
                leave(place / _LOCK, lock)

    def make(self, directory: Path, files: tuple[HandedFile, ...], unexamined: frozenset[str]) -> Path:
        """A private directory that holds these files.

        Args:
            directory: the user's, for messages.
            unexamined: names of files that are in it empty: a library chooses as it would in the user's directory, and
                whoever would read one is not given the checkpoint (``parity.capture.refusals``).

        Raises:
            FilesChanged: a file is no longer what was digested, or is gone.
            CaptureError: the private directory cannot be written.
        """
        if self._own is None:
            raise RuntimeError("views are made within their context")
        self._made += 1
        place = self._own / str(self._made)
        try:
            place.mkdir(mode=0o700)
            for file in files:
                if file.name in unexamined:
                    (place / file.name).touch(0o400)
                elif file.status[2] <= COPIED:
                    self._copy(directory, file, place / file.name)
                else:
                    (place / file.name).symlink_to(self._opened(directory, file))
        except OSError as error:
            raise CaptureError(f"{place}: cannot be written: {error.strerror or error}") from error
        return place

    def _opened(self, directory: Path, file: HandedFile) -> Path:
        """What a link to a file is to lead to: the file held open here, whatever is put in its place or in that of a
        folder around it; where the system has no such path, or too many are open, the file by its own path."""
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
            # It may have been exchanged for a pipe, at which a plain open would wait for ever.
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


def _remove_old(place: Path) -> None:
    import time

    try:
        if time.time() - place.stat().st_mtime > 900.0:
            shutil.rmtree(place, ignore_errors=True)
    except OSError:  # gone meanwhile
        pass
