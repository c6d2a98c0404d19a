"""Classifies an exception: the backend's (a result), the machine's (out of memory) or our own bug."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

from parity.backends.protocol import UnexpectedReturn
from parity.core.trace import Raised

ROOT = Path(__file__).resolve().parents[3]
OURS = ROOT / "parity"
MESSAGE_LIMIT = 500
_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = ("site-packages", "dist-packages")
_NO_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory", "Out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, and the exceptions of torch, XLA and TensorFlow when host or device memory runs out."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "ResourceExhaustedError"):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def is_ours(error: BaseException) -> bool:
    """Whether there is no library frame between our code and the raising frame.

    Frames of the standard library and of numpy that our code called directly count as ours. A missing name
    (ImportError) is the library's, and so is an unexpected return value (``UnexpectedReturn``).
    """
    if isinstance(error, UnexpectedReturn):
        return False
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] not in ("parity", "reference"):
        return False
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    beyond = []
    for file in reversed(files):
        if _inside(file, OURS):
            break
        beyond.append(file)
    return all(_is_helper(file) for file in beyond)


def raised(error: BaseException, phase: str, shown: Callable[[str], str] = str) -> Raised:
    """The exception as a result: type, first lines of its message, deepest frame outside our own package.

    Args:
        shown: transforms the message before it is truncated (``parity.capture.worker.handed_files.UsersPath.text``).
    """
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not _inside(Path(frame.filename), OURS)] or list(frames)
    deepest = outside[-1] if outside else None
    where = f"{relative(deepest.filename)}:{deepest.lineno} in {deepest.name}" if deepest else ""
    return Raised(type(error).__name__, shown(str(error).strip())[:MESSAGE_LIMIT], where, phase)


def relative(file: str) -> str:
    """A source file's path without the machine's part: relative to site-packages, library or search path."""
    path = Path(file)
    for folder in _INSTALLED:
        if folder in path.parts:
            index = len(path.parts) - path.parts[::-1].index(folder)
            return "/".join(path.parts[index:])
    for root in (ROOT, _STANDARD, *(Path(entry) for entry in sys.path if entry)):
        if _inside(path, root):
            return path.resolve().relative_to(root.resolve()).as_posix()
    return path.name


def _inside(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _is_helper(file: Path) -> bool:
    if file.name.startswith("<"):
        return True
    if any(folder in file.parts for folder in _INSTALLED):
        return relative(str(file)).startswith("numpy/")
    return _inside(file, _STANDARD)
