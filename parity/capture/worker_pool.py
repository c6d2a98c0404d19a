"""Idle workers, reused for further tasks of their kind, so that a framework is imported once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import psutil

from parity.capture.memory import resident
from parity.capture.task import Task
from parity.capture.worker_process import Child
from parity.core.backends import BACKENDS

Kind = Hashable
"""Identifies tasks that can follow each other in one process."""


def kind_of(task: Task, setup: Mapping[str, Any] | None = None) -> Kind:
    """The kind of process that a task needs.

    A backend that is not in our own registry (a mutant, a third party's) never runs a second checkpoint in one process:
    its side effects are unknown, and results for one checkpoint must not depend on another.

    Args:
        setup: further keywords of the backend's ``setup``.
    """
    process = process_kind(task.stack, task.interpreter, task.environment, task.backend, task.device, setup)
    return process if task.backend in BACKENDS else (*process, task.checkpoint, task.view)


def process_kind(
    stack: str,
    interpreter: Path,
    environment: Mapping[str, str],
    backend: str,
    device: str,
    setup: Mapping[str, Any] | None = None,
) -> tuple[Hashable, ...]:
    """The kind of process of a backend in our own registry, whatever its task."""
    return (
        stack,
        interpreter,
        tuple(sorted(environment.items())),
        backend,
        device,
        tuple(sorted((setup or {}).items())),
    )


class WorkerPool:
    """Idle workers by kind, at most one of each, the longest idle first."""

    def __init__(self) -> None:
        self._idle: dict[Kind, Child] = {}

    def take(self, kind: Kind) -> Child | None:
        """Removes and returns the idle worker of this kind; None where there is none, or it has ended meanwhile."""
        child = self._idle.pop(kind, None)
        if child is None or child.ended() is None:
            return child
        child.kill()
        return None

    def give(self, kind: Kind, child: Child) -> None:
        """Adds a worker that has finished its tasks."""
        if (other := self._idle.pop(kind, None)) is not None:
            other.kill()
        self._idle[kind] = child

    def make_room(self, room: int, besides: Kind) -> None:
        """Ends idle workers, the longest idle first, until the others use at most this many bytes.

        Args:
            besides: the kind that is about to be used, whose memory is included in its tasks' estimate.
        """
        sizes = {kind: _size(child) for kind, child in self._idle.items() if kind != besides}
        while sizes and sum(sizes.values()) > room:
            longest = next(iter(sizes))
            del sizes[longest]
            self._idle.pop(longest).kill()

    def close(self) -> None:
        """Ends all idle workers."""
        while self._idle:
            self._idle.popitem()[1].kill()


def _size(child: Child) -> int:
    try:
        return resident([psutil.Process(child.process.pid)])
    except psutil.Error:
        return 0
