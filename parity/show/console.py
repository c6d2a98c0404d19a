"""One console for all output, wide enough that a file or a log keeps whole lines."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

WIDTH_OF_FILES = 140
STYLES = {"pass": "green", "known": "yellow", "skip": "bright_black", "fail": "bold red", "error": "bold magenta"}
WORST_FIRST = ("error", "fail", "known", "pass", "skip")


def console(*, stderr: bool = False) -> Console:
    """A console on the current standard stream; without a terminal, plain text of a fixed width (or ``COLUMNS``)."""
    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    width = None if terminal or "COLUMNS" in os.environ else WIDTH_OF_FILES
    return Console(file=stream, width=width, highlight=False, soft_wrap=not terminal)


def tell(out: Console, text: Text, indent: int) -> None:
    """Prints a line; where a terminal is too narrow for it, what is carried over is indented."""
    if out.soft_wrap or text.cell_len <= out.width:
        out.print(text)
        return
    kept, rest = text.divide([indent])
    first, *others = rest.wrap(out, out.width - indent)
    out.print(Text("\n").join([kept + first, *(Text(" " * indent) + line for line in others)]))


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
