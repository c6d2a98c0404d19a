"""How much memory a run has, what a worker will need, and what was really used."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import psutil

WORKER_BASE = 1_200_000_000
"""Bytes a worker holds before any model: interpreter and framework (TensorFlow about 0.7 GB, torch and JAX less), and
compilation."""
WEIGHTS_FACTOR = 5
"""A model in float32, its gradients, a conversion's copy, activations and arrays on their way into a trace, in
multiples of the weight file."""
SHARE = 0.85
SAMPLE_EVERY = 0.2
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 4, "float16": 4}


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


def estimate(weight_bytes: int, dtype: str) -> int:
    """Bytes a worker may need for a checkpoint with weights of this size computed in ``dtype``."""
    return WORKER_BASE + WEIGHTS_FACTOR * weight_bytes * _BYTES.get(dtype, 4) // 4


class PeakMemory:
    """The largest sum of the resident memory of this process and all it started, sampled."""

    def __init__(self) -> None:
        self.peak, self._next, self._self = 0, 0.0, psutil.Process()

    def sample(self) -> None:
        """Looks, unless it has just looked."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SAMPLE_EVERY
            self.peak = max(self.peak, resident([self._self, *self._self.children(recursive=True)]))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory that these processes hold together."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it ended between being listed and being asked
            continue
    return total
