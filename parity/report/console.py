"""One console for all output, wide enough that a file or a log keeps whole lines."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from parity.core.display import printable

WIDTH_OF_FILES = 140
LEAST_WIDTH = 80
"""Characters of a line that is wrapped in a file, whatever ``COLUMNS`` says."""
STYLES = {"pass": "green", "known": "yellow", "skip": "bright_black", "fail": "bold red", "error": "bold magenta"}
WORST_FIRST = ("error", "fail", "known", "pass", "skip")


_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no output of ours holds but for line breaks."""
_COMMANDS = re.compile(r"^(\s*)::", re.MULTILINE)


class PlainConsole(Console):
    """A console that writes text, and nothing that text asks for.

    Outside text is made printable where it is put into a line (``parity.core.display``), for only there is it known
    which line breaks are ours. This is the second fence: markup and emoji codes are never interpreted, and a control
    character that comes here all the same is escaped.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and _CONTROLS.search(segment.text):
                yield Segment(_CONTROLS.sub(lambda c: printable(c[0]), segment.text), segment.style)
            else:
                yield segment


class _Log:
    """A stream that is no terminal: no line of it is a command to GitHub's runner, wherever a table was wrapped."""

    def __init__(self, stream: IO[str], name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        try:
            self._stream.write(_COMMANDS.sub(r"\1\\x3a:", text))
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._name == "standard output":
                raise OSError(error.errno, error.strerror, self._name) from error
            # Nobody can read how far the work is, which is no reason to give it up.
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console(*, stderr: bool = False) -> Console:
    """A console on the current standard stream; without a terminal, plain text of a fixed width (or ``COLUMNS``)."""
    stream, name = (sys.stderr, "standard error") if stderr else (sys.stdout, "standard output")
    if stream is None:  # closed before we were started: `>&-`
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (it lives as long as the process)
    terminal = stream.isatty()
    width = None if terminal or "COLUMNS" in os.environ else WIDTH_OF_FILES
    return PlainConsole(
        # A console writes, flushes and asks for a descriptor: of a stream that is all that a ``_Log`` need be.
        file=stream if terminal else cast("IO[str]", _Log(stream, name)),
        width=width,
        highlight=False,
        soft_wrap=not terminal,
        markup=False,
        emoji=False,
    )


def print_wrapped(out: Console, text: Text, indent: int, *, wrap_in_files: bool = False) -> None:
    """Prints a line; where a terminal is too narrow for it, what is carried over is indented.

    Args:
        indent: characters before what is carried over.
        wrap_in_files: wrap at spaces where there is no terminal too, at its width but at least ``LEAST_WIDTH``.
    """
    width = max(out.width, LEAST_WIDTH) if out.soft_wrap else out.width
    if (out.soft_wrap and not wrap_in_files) or text.cell_len <= width:
        out.print(text)
        return
    label, rest = text.divide([indent])
    if out.soft_wrap:
        # In a file a path or a name is never broken, so that it can be found and copied.
        wrapped = textwrap.wrap(rest.plain, width - indent, break_long_words=False, break_on_hyphens=False)
        first, *others = map(Text, wrapped)
    else:
        first, *others = rest.wrap(out, width - indent)
    out.print(Text("\n").join([label + first, *(Text(" " * indent) + line for line in others)]))


def status_text(status: str) -> Text:
    """A status as a word; the bad ones are capitals too, so that no reader depends on colour."""
    return Text(status.upper() if status in ("fail", "error") else status, STYLES[status])


def size(count: float) -> str:
    """Bytes for people: ``1.4 GB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """``4.2 s``, ``2 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def plural(count: int, word: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
