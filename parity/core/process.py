"""When this process started, so that the cost of a command includes its own start."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()
_STARTTIME = 22
"""Field of ``/proc/PID/stat`` with the start, in clock ticks since the system's (proc_pid_stat(5)) …"""
_AFTER_NAME = 2
"""… and how many fields stand before the end of the name, which may hold spaces."""


def process_start() -> float:
    """The time at which this process started, by ``time.monotonic``.

    Where the system does not have it, the time at which this module was imported.

    >>> 0 < time.monotonic() - process_start()
    True
    """
    try:
        _, _, fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        ticks = int(fields.split()[_STARTTIME - _AFTER_NAME - 1])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
    started = time.monotonic() - age
    # In a container that has a clock of its own the two cannot be compared.
    return started if started <= _IMPORTED else _IMPORTED
