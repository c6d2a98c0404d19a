"""Progress of a fleet on standard error: a live bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time

from parity.core.display import sentence
from parity.fleet.run import Pace
from parity.report.console import plural
from parity.report.progress import SECONDS_BETWEEN_LINES, LiveBar, time_left


class FleetProgress(LiveBar):
    """Call it with each ``Pace``."""

    def __init__(self) -> None:
        super().__init__("starting")
        self._done = -1

    def say(self, line: str) -> None:
        """Prints a line."""
        self._print(sentence(line))

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
        parts.append(time_left(seconds / ended * ahead))
    return ", ".join(parts)
