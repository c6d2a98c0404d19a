"""Progress of a fleet on standard error: a live bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from parity.core.display import sentence
from parity.fleet.run import Pace
from parity.report.console import console, duration, plural

SECONDS_BETWEEN_LINES = 15.0


class FleetProgress:
    """Call it with each ``Pace``; use it as a context, so that the bar is removed at the end."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._began = self._last_line = time.monotonic()
        self._done = -1

    def __enter__(self) -> FleetProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Prints a line."""
        self._console.print(Text(f"[{duration(time.monotonic() - self._began)}] {sentence(line)}"))

    def begin(self) -> None:
        """Starts the clock of the pace: checkpoints are audited from now on."""
        self._began = self._last_line = time.monotonic()

    def __call__(self, pace: Pace) -> None:
        now = time.monotonic()
        if pace.line:
            self.say(pace.line)
        text = summary(pace, now - self._began)
        if self._console.is_terminal:
            self._bar.update(self._task, description=text, completed=pace.done, total=pace.total)
        elif pace.done != self._done and (now - self._last_line > SECONDS_BETWEEN_LINES or pace.done == pace.total):
            self._last_line, self._done = now, pace.done
            self.say(f"{pace.done} of {plural(pace.total, 'checkpoint')}, {text}")


def summary(pace: Pace, seconds: float) -> str:
    """``2 failed, 0 set aside, 31.4 cells/s, about 3 min 20 s left``."""
    parts = [f"{pace.failed} failed", f"{pace.set_aside} set aside"]
    ended, ahead = pace.done - pace.before, pace.total - pace.done
    if seconds > 0 and pace.cells:
        parts.append(f"{pace.cells / seconds:.1f} cells/s")
    if ended >= pace.slots and ahead:
        parts.append(f"about {duration(max(1, round(seconds / ended * ahead))).replace('.0 s', ' s')} left")
    return ", ".join(parts)
