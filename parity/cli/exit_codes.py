"""How a command ends when it cannot go on: one line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import errno
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

from parity.core.display import MESSAGE_LIMIT, printable, sentence
from parity.core.errors import InputError

OK = 0
FAILED = 1
NOTHING_TO_DO = 2
INTERNAL_ERROR = 3
INTERRUPTED = 130
EXIT_CODES = (
    "Exit code 0: only pass, known and skip. 1: any fail or error. 2: usage, input that cannot be read, or nothing "
    "computed (no backend can run, all cells skipped). 3: internal error, a bug of parity. 130: interrupted; what was "
    "captured is kept."
)
ALWAYS = "2: usage, or input that cannot be read or written. 3: internal error, a bug of parity. 130: interrupted."
"""What holds of every command, whatever its 0 and 1 mean."""
DONE = f"Exit code 0: done. {ALWAYS}"
C = TypeVar("C", bound=Callable[..., None])


def guarded(command: C) -> C:
    """Turns what a command raises into one line and an exit code.

    Bad input, and what the operating system refuses (``is_bad_input``), gives 2; Ctrl-C gives 130; anything else is a
    bug of ours: 3, and the traceback goes into a file that the line names.
    """

    @functools.wraps(command)
    def wrapper(*arguments: object, **options: object) -> None:
        try:
            try:
                command(*arguments, **options)
            finally:
                # What cannot be written (a full disk) must not be found out while Python shuts down.
                _flush()
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our output (`| head`) has gone; what is left to flush must not raise again.
            _to_nowhere()
            raise typer.Exit(NOTHING_TO_DO) from None
        except KeyboardInterrupt:
            say("interrupted; every trace captured so far is kept, the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            bad_input = is_bad_input(error)
            say(one_line(error) if bad_input else _crash(error))
            raise typer.Exit(NOTHING_TO_DO if bad_input else INTERNAL_ERROR) from None

    return wrapper  # type: ignore[return-value]


def is_bad_input(error: BaseException) -> bool:
    """Whether an error is about what the user gave or what the machine has, and not a bug of ours.

    That is what was raised for a user, what the operating system said (a full disk, no permission), and input that goes
    beyond what a process can hold or Python can recurse into or encode.
    """
    if isinstance(error, InputError | MemoryError | RecursionError | UnicodeError):
        return True
    return isinstance(error, OSError) and error.errno is not None


def one_line(error: BaseException) -> str:
    """What an error says to a user, on one line that nothing in it can end or control."""
    if isinstance(error, OSError) and error.errno is not None:
        what = error.strerror or errno.errorcode.get(error.errno, f"error {error.errno}")
        return f"{printable(os.fsdecode(error.filename))}: {what}" if _names_a_file(error) else f"{what}{_frame(error)}"
    if isinstance(error, RecursionError):
        return f"the input is nested too deeply{_frame(error)}"
    if isinstance(error, MemoryError):
        return f"the input needs more memory than there is{_frame(error)}"
    if isinstance(error, UnicodeError) and not isinstance(error, InputError):
        return f"the input holds text that cannot be read or written: {sentence(error, 300)}{_frame(error)}"
    return sentence(error, MESSAGE_LIMIT) or type(error).__name__


def _names_a_file(error: OSError) -> bool:
    return isinstance(error.filename, str | bytes | os.PathLike)


def _frame(error: BaseException) -> str:
    """Which of our functions met it, where the error itself names no file."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "parity" in Path(frame.filename).parts]
    return f" (in {Path(ours[-1].filename).stem}.{ours[-1].name})" if ours else ""


def _crash(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    message = f"internal error, a bug of parity: {type(error).__name__}: {sentence(error, 200)}"
    name = f"parity-crash-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.log"
    try:
        path = Path(tempfile.gettempdir()) / name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        # Nowhere to put it: then the traceback itself is all that is left to give.
        for line in text.splitlines():
            say(printable(line, MESSAGE_LIMIT))
        return message
    return f"{message} (details: {printable(path)})"


def say(line: str) -> None:
    """Writes a line to standard error as far as that can be."""
    try:
        if sys.stderr is not None:
            print(f"parity: {line}", file=sys.stderr, flush=True)
    except (OSError, UnicodeError):
        # Standard error is closed, full, or of an encoding that lacks a character: the exit code has to say it.
        try:
            print(f"parity: {line}".encode("ascii", "backslashreplace").decode(), file=sys.stderr, flush=True)
        except (OSError, UnicodeError):
            pass


def _flush() -> None:
    """Writes what is left of standard output; where that fails, nothing more is tried on the way out.

    Raises:
        OSError: it cannot be written.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _to_nowhere()
        if isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, "standard output") from None


def _to_nowhere() -> None:
    """Points standard output at nothing, so that Python's own flush on the way out does not fail again."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # it is no file (a test's capture), or is closed
        pass
