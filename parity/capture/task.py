"""The interface between the parts of capture: a task, its result, and progress events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from parity.core.errors import InputError
from parity.core.records import Outcome

THREADS = 2
"""Threads per worker, on every machine: sums are split by thread, so only then are numbers bit-stable."""


class CaptureError(InputError):
    """Capture cannot start or continue; one line that names the file and the cause. Captured traces stay in the
    cache."""


class CaptureStopped(Exception):
    """Raised by the callback for a captured checkpoint to end the run early."""


@dataclass(frozen=True)
class Task:
    """One case to run on one backend, and the path of its trace."""

    id: str
    stack: str
    interpreter: Path
    environment: dict[str, str]
    backend: str
    variant: str
    device: str
    dtype: str
    checkpoint: Path
    model_class: str
    weight_bytes: int
    case: dict[str, Any]
    out: Path
    provenance: dict[str, Any]
    label: str = ""
    view: Path | None = None
    """The private directory that the backend loads from; the checkpoint's own where there is none."""
    files: tuple[dict[str, Any], ...] = ()
    """The files in it as they were hashed (``parity.capture.worker.handed_files.Handed``)."""
    refused: str = ""
    """Why the backend must not load the checkpoint; it may still load what others saved."""

    @property
    def model(self) -> tuple[str, ...]:
        """Tasks with the same value share a loaded model."""
        return (str(self.checkpoint), self.model_class, self.variant, self.dtype)

    def to_json(self) -> dict[str, Any]:
        """The task as the worker receives it."""
        return {
            "id": self.id,
            "variant": self.variant,
            "dtype": self.dtype,
            "checkpoint": str(self.checkpoint),
            "model_class": self.model_class,
            "case": self.case,
            "out": str(self.out),
            "provenance": self.provenance,
            "view": str(self.view or self.checkpoint),
            "files": self.files,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class Result:
    """The result of one task."""

    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    load_seconds: float = 0.0
    io_seconds: float = 0.0


@dataclass(frozen=True)
class Event:
    """A progress event: ``kind`` is ``planned``, ``starting``, ``started``, ``finished`` or ``captured``, or, for one
    checkpoint among several, ``judged`` with its totals as ``reason``. ``done`` of ``total`` traces are complete,
    including the ``cached`` ones.
    """

    kind: str
    label: str = ""
    """The subject (``hf-torch/sdpa``), or for ``starting`` the worker (``hf-torch@docs-4.37``)."""
    checkpoint: str = ""
    case: str = ""
    outcome: str = ""
    reason: str = ""
    done: int = 0
    total: int = 0
    cached: int = 0


@dataclass
class Usage:
    """Resources used by a run of tasks."""

    peak_memory: int = 0
    """Peak of the summed resident memory of this process and its descendants, bytes."""
    backend_seconds: float = 0.0
    """Wall time during which at least one backend was importing, loading or computing."""
    intervals: list[tuple[float, float]] = field(default_factory=list)
    """Those intervals, by the system's monotonic clock."""


Rounds = Generator[Sequence[Task], Mapping[str, Result], None]
"""The work on one checkpoint: a generator that yields tasks, receives their results by task id, and plans the next ones
from these."""
OnEvent = Callable[[str, Task, Result | None], None]
"""Called with ``starting``, ``started`` or ``finished``, the task and, when finished, its result."""


class Executor(Protocol):
    """Runs tasks: in processes on this machine, or on a cluster."""

    usage: Usage

    def run_rounds(self, work: Sequence[Rounds], on_event: OnEvent) -> None:
        """Runs all work to completion, each yielded task exactly once. Earlier work has priority.

        Raises:
            CaptureError: traces cannot be written.
        """
        ...


def covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Length of the union of intervals ``(start, end)``, seconds."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
