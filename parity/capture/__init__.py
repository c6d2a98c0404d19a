"""Ask every subject every case, each backend in a process of its own, and write down what was answered.

Capture knows frameworks and no claims. This module loads nothing when it is imported: the worker, which runs in
interpreters that have none of our dependencies, imports its neighbours through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.capture.run import capture
    from parity.capture.tasks import CaptureError, Event

__all__ = ["CaptureError", "Event", "capture"]


def __getattr__(name: str) -> Any:
    if name == "capture":
        from parity.capture.run import capture

        return capture
    if name in ("CaptureError", "Event"):
        from parity.capture import tasks

        return getattr(tasks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
