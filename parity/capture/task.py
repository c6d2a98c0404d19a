"""What capture's parts tell each other: a task, its result, and the events shown while it works."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from parity.core.errors import InputError
from parity.core.records import Outcome

THREADS = 2
"""Threads a worker computes with, on every machine: sums are split by thread, so numbers are bit-stable only then."""


class CaptureError(InputError):
    """Nothing can be captured, or no more; one line that names the file and the cause. Captured traces are kept."""


@dataclass(frozen=True)
class Task:
    """One case to ask of one backend, and the file its trace goes to."""

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
    """The private directory that the backend is given; the checkpoint's own where there is none."""
    files: tuple[dict[str, Any], ...] = ()
    """What is in it, as it was digested (``parity.capture.worker.handed_files.Handed``)."""
    refused: str = ""
    """Why the backend is not given the checkpoint; what others saved it may load."""

    @property
    def model(self) -> tuple[str, ...]:
        """Tasks with the same one share a loaded model."""
        return (str(self.checkpoint), self.model_class, self.variant, self.dtype)

    def to_json(self) -> dict[str, Any]:
        """What the worker needs of it."""
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
    """How one task ended."""

    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    load_seconds: float = 0.0
    io_seconds: float = 0.0


@dataclass(frozen=True)
class Event:
    """Something worth showing: ``kind`` is ``planned``, ``starting``, ``started``, ``finished`` or ``captured``, or of
    one checkpoint among several ``judged``, with its totals as ``reason``.

    ``done`` of ``total`` traces are there, counting the ``cached`` ones.
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
    """What a run of tasks took."""

    peak_memory: int = 0
    """Largest sum of the resident memory of this process and everything it started, bytes."""
    backend_seconds: float = 0.0
    """Wall time during which at least one backend was importing, loading or computing."""
    intervals: list[tuple[float, float]] = field(default_factory=list)
    """When they were, by the system's monotonic clock."""


Rounds = Generator[Sequence[Task], Mapping[str, Result], None]
"""The work on one checkpoint: it yields tasks, is sent how each ended, by its id, and plans the next ones from that."""
OnEvent = Callable[[str, Task, Result | None], None]
"""Called with ``starting``, ``started`` or ``finished``, the task and, when finished, its result."""


class Executor(Protocol):
    """Runs tasks somewhere: processes on this machine, or a cluster's engine."""

    usage: Usage

    def run_rounds(self, work: Sequence[Rounds], on_event: OnEvent) -> None:
        """Runs all work to its end, each task that is yielded exactly once. What comes first goes first.

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
