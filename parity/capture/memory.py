"""How much memory a run has, what a worker will need, and what was really used."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from parity.capture.task import Task

WORKER_BASE = 1_200_000_000
"""Bytes a worker holds before any model: interpreter and framework (TensorFlow about 0.7 GB, torch and JAX less), and
compilation."""
FORWARD, BACKWARD = 2.8, 4.1
"""What a worker takes at most for loading, a pass forward, text and saving, and for a pass back, beside its empty
process and in multiples of the float32 weights. Measured on random BARTs: these are the peaks with 6 layers in each
stack, where the table is a quarter of all weights; with 12 of the published size they were 2.2 and 3.5."""
FORWARD_64, BACKWARD_64 = 2.6, 4.5
"""The same in float64, the weights as a whole: measured were 2.4 and 4.0, with 12 layers 2.2 and 2.9."""
BY_LAYER, BY_LAYER_BACK = 1.6, 3.3
"""The same in float64, computed a layer at a time (``parity.backends.reference.by_layer``), with 6 layers."""
SHARE = 0.85
SAMPLE_EVERY, SEARCH_EVERY = 0.2, 2.0
"""Seconds between looks at the processes that were started, and between searches for them: a search goes through every
process of the machine, and one that has just begun holds next to nothing."""
BACK = ("gradients", "frozen_gradients")
"""Operations with a pass back."""


def available() -> int:
    """Bytes this run may use: free memory, or what is left of the container's limit, less a reserve."""
    free = psutil.virtual_memory().available
    left = _container_limit()
    return int(SHARE * (free if left is None else min(free, left)))


def _container_limit() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def estimate(weights: int, dtype: str, operation: str, by_layer: bool = False) -> int:
    """Bytes a worker may need for one case.

    Args:
        weights: bytes of the parameters in float32. A type of half the size saves nothing: libraries widen some of it
            for the products, and answers for their traces.
        by_layer: whether a model in float64 is computed so.
    """
    double, back = dtype == "float64", operation in BACK
    if double and by_layer:
        factor = BY_LAYER_BACK if back else BY_LAYER
    elif double:
        factor = BACKWARD_64 if back else FORWARD_64
    else:
        factor = BACKWARD if back else FORWARD
    return WORKER_BASE + int(factor * weights)


def needed(task: Task, setup: Mapping[str, Any]) -> int:
    """Bytes that the worker of a task may need, in a process set up like this."""
    whole = setup.get("by_layer_above")
    parted = whole is not None and 2 * task.weight_bytes > whole
    return estimate(task.weight_bytes, task.dtype, task.case["operation"], parted)


def by_layer(tasks: Iterable[Task], memory: int) -> dict[str, int]:
    """``by_layer_above`` for a backend's ``setup``, where a model of one of these tasks has no room as a whole: the
    bytes that one may have in float64."""
    double = [task for task in tasks if task.dtype == "float64"]
    if all(needed(task, {}) <= memory for task in double):
        return {}
    back = any(task.case["operation"] in BACK for task in double)
    return {"by_layer_above": max(0, int(2 * (memory - WORKER_BASE) / (BACKWARD_64 if back else FORWARD_64)))}


class PeakMemory:
    """The largest sum of the resident memory of this process and all it started, sampled."""

    def __init__(self) -> None:
        self.peak, self._next, self._next_search = 0, 0.0, 0.0
        self._self = psutil.Process()
        self._started: list[psutil.Process] = []

    def sample(self) -> None:
        """Looks, unless it has just looked."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAMPLE_EVERY
            if now >= self._next_search:
                self._next_search = now + SEARCH_EVERY
                self._started = self._self.children(recursive=True)
            self.peak = max(self.peak, resident([self._self, *self._started]))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory that these processes hold together."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it ended between being listed and being asked
            continue
    return total
