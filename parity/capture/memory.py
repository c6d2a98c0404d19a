"""Memory of a run: what is available, what a worker will need, and what was used."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from parity.capture.task import Task

WORKER_BASE = 1_200_000_000
"""Bytes of a worker before it loads a model: interpreter, framework (TensorFlow about 0.7 GB, torch and JAX less), and
compilation."""
FORWARD, BACKWARD = 2.8, 4.1
"""Peak memory of a worker beyond its base, in multiples of the float32 weights: for loading, forward passes, generation
and saving, and for backward passes. Measured on random BARTs: peaks with 6 layers in each stack, where embeddings are a
quarter of all weights; with 12 layers of the published size they were 2.2 and 3.5."""
FORWARD_64, BACKWARD_64 = 2.6, 4.5
"""The same in float64 with all weights at once: measured 2.4 and 4.0, with 12 layers 2.2 and 2.9."""
BY_LAYER, BY_LAYER_BACK = 1.6, 3.3
"""The same in float64, computed a layer at a time (``parity.backends.reference.by_layer``), with 6 layers."""
SHARE = 0.85
SAMPLE_EVERY, SEARCH_EVERY = 0.2, 2.0
"""Seconds between memory samples of known processes, and between searches for new ones. A search enumerates every
process of the machine, and a process that has just started uses little."""
BACK = ("gradients", "frozen_gradients")
"""Operations with a backward pass."""


def available() -> int:
    """Bytes this run may use: free memory, or what remains of the container's limit, less a reserve."""
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
        weights: bytes of the parameters in float32. Half precision saves nothing: libraries widen weights for products,
            and traces hold float32.
        by_layer: whether a float64 model is computed a layer at a time.
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
    """Bytes that a task's worker may need, in a process with this setup."""
    whole = setup.get("by_layer_above")
    parted = whole is not None and 2 * task.weight_bytes > whole
    return estimate(task.weight_bytes, task.dtype, task.case["operation"], parted)


def float64_limit(tasks: Iterable[Task], memory: int) -> int | None:
    """The most bytes of float64 parameters that fit in memory as a whole; None where every task's model fits.

    A backend's ``setup_for`` receives it: a larger model has to be computed a layer at a time.
    """
    double = [task for task in tasks if task.dtype == "float64"]
    if all(needed(task, {}) <= memory for task in double):
        return None
    back = any(task.case["operation"] in BACK for task in double)
    return max(0, int(2 * (memory - WORKER_BASE) / (BACKWARD_64 if back else FORWARD_64)))


class PeakMemory:
    """The peak of the summed resident memory of this process and its descendants, sampled."""

    def __init__(self) -> None:
        self.peak, self._next, self._next_search = 0, 0.0, 0.0
        self._self = psutil.Process()
        self._started: list[psutil.Process] = []

    def sample(self) -> None:
        """Takes a sample, unless the last one is recent."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAMPLE_EVERY
            if now >= self._next_search:
                self._next_search = now + SEARCH_EVERY
                self._started = self._self.children(recursive=True)
            self.peak = max(self.peak, resident([self._self, *self._started]))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Resident memory of these processes together, in bytes."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it ended after it was listed
            continue
    return total
