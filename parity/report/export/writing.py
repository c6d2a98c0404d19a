"""How exports reach their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from parity.core.errors import OutputError
from parity.core.files import write_whole


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all, in a folder that is made for it.

    Raises:
        OutputError: it cannot be written.
    """

    _with_path_in_errors(path, lambda: write_whole(path, text))


def append(path: Path, text: str) -> None:
    """Adds to a file, as GitHub's ``$GITHUB_STEP_SUMMARY`` wants it.

    Raises:
        OutputError: it cannot be written.
    """

    def added() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    _with_path_in_errors(path, added)


def _with_path_in_errors(path: Path, act: Callable[[], None]) -> None:
    try:
        act()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
