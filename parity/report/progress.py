"""Progress on standard error: a live bar in a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from parity.core.display import sentence, shown
from parity.report.console import console, duration

if TYPE_CHECKING:
    from parity.capture.task import Event

SECONDS_BETWEEN_LINES = 15.0
ENOUGH_TRACES = 5
"""Computed traces from which the time left is estimated."""


class LiveBar:
    """A bar on standard error in a terminal, lines anywhere else; use it as a context, so that the bar is removed.

    Args:
        first: the description until the first event.
        columns: further columns, with fields of the task.
        fields: initial values of these.
    """

    def __init__(self, first: str, *columns: ProgressColumn, **fields: Any) -> None:
        self._console = console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *columns,
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(first, total=None, **fields)
        self._began = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def _print(self, line: str) -> None:
        """Prints a line with the time since the beginning."""
        self._console.print(Text(f"[{duration(time.monotonic() - self._began)}] {line}"))


class Progress(LiveBar):
    """Call it with each event of a capture.

    Args:
        quiet: print nothing. What goes wrong is in the report, or ends the command with a line of its own.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__("planning", TextColumn("{task.fields[left]}", style="bright_black"), left="")
        self._quiet = quiet
        self._planned = 0
        self._computing: float | None = None

    def __enter__(self) -> Self:
        return self if self._quiet else super().__enter__()

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        event = shown(event, 200)
        left = self._left(event)
        if event.outcome and event.outcome != "captured":
            self._say(f"{event.label} · {event.checkpoint} · {event.case}: {event.outcome}: {event.reason}")
        if event.kind == "judged":
            self._say(f"{event.checkpoint}: {event.reason}")
        elif self._console.is_terminal:
            what = " · ".join(part for part in (event.label, event.checkpoint, event.case) if part) or event.kind
            self._bar.update(self._task, description=what, completed=event.done, total=event.total or None, left=left)
        elif event.kind == "planned":
            # Cases that are made from results are planned pass by pass: a pass that adds none needs no line.
            if not self._planned:
                later = "cases that are made from results are added later"
                self._say(f"{event.total} traces planned, {event.cached} of them in the cache; {later}")
            elif event.total != self._planned:
                added = event.total - self._planned
                self._say(f"{added} traces added from results: {event.total} planned, {event.cached} in the cache")
            self._planned = event.total
        elif event.kind == "starting":
            self._say(f"starting {event.label}")
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._say(f"{event.done} of {event.total} traces ({event.label} · {event.case}){left and f', {left}'}")

    def _left(self, event: Event) -> str:
        """``about 40 s left``, from the pace of the traces that were computed; "" where there are too few to tell.

        Cases that are made from results are planned later, so that the time left can grow.
        """
        if event.total and self._computing is None:
            self._computing = time.monotonic()
        computed, ahead = event.done - event.cached, event.total - event.done
        if self._computing is None or computed < ENOUGH_TRACES or ahead <= 0:
            return ""
        return time_left((time.monotonic() - self._computing) / computed * ahead)

    def _say(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._print(sentence(line))


def time_left(seconds: float) -> str:
    """``about 40 s left``, ``about 3 min 20 s left``."""
    return f"about {duration(max(1, round(seconds))).replace('.0 s', ' s')} left"
