"""How a command ends when it cannot go on: one line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import typer

from parity.errors import GivenError
from reference.errors import CheckpointError

EXIT_CODES = (
    "Exit code 0: only pass, known and skip. 1: any fail or error. 2: nothing could be asked (usage, unreadable "
    "input, no backend, all cells skipped) or the command itself broke. 130: interrupted; what was captured is kept."
)
NOTHING_ASKED = 2
INTERRUPTED = 130
C = TypeVar("C", bound=Callable[..., None])


def guarded(command: C) -> C:
    """Turns what a command raises into one line and an exit code.

    Bad input (a ``ValueError`` or ``OSError`` that names its file) gives 2; Ctrl-C gives 130; anything else is a bug
    of ours: 2, and the traceback goes into a file that the line names.
    """

    @functools.wraps(command)
    def wrapper(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our output (`| head`) has gone; what is left to flush must not raise again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(NOTHING_ASKED) from None
        except KeyboardInterrupt:
            _say("interrupted; every trace captured so far is kept, the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            _say(_one_line(error) if is_bad_input(error) else _crash(error))
            raise typer.Exit(NOTHING_ASKED) from None

    return wrapper  # type: ignore[return-value]


def is_bad_input(error: BaseException) -> bool:
    """Whether an error is about what the user gave, and its message is made for a user."""
    # The operating system's own word on a file that was named; any other OSError is a bug of ours.
    return isinstance(error, GivenError | CheckpointError) or (
        isinstance(error, OSError) and error.filename is not None
    )


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _crash(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    name = f"parity-crash-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.log"
    path = Path(tempfile.gettempdir()) / name
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        # Nowhere to put it: then the traceback itself is all that is left to give.
        sys.stderr.write(text)
        return f"internal error: {_one_line(error)}"
    return f"internal error, a bug of parity: {type(error).__name__}: {_one_line(error)[:200]} (details: {path})"


def _say(line: str) -> None:
    sys.stdout.flush()
    print(f"parity: {line}", file=sys.stderr)
