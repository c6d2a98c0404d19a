"""One loaded model of a worker, with its timing; passed to operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from parity.backends.protocol import CapableModel, Field, Model
from parity.capture.worker.global_state import seed_random
from parity.capture.worker.handed_files import UsersPath
from parity.core.subject import Variant
from parity.core.trace import Trace

Arrays = dict[str, np.ndarray]


class Clock:
    """Measures which part of a case is the backend's own work."""

    def __init__(self) -> None:
        self.intervals: list[tuple[float, float]] = []
        self.loading = 0.0
        """Seconds of it spent on loading models."""

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.intervals)

    @contextmanager
    def backend(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.intervals.append((start, time.monotonic()))

    @contextmanager
    def load(self) -> Iterator[None]:
        """Measures loading a model."""
        with self.backend():
            yield
        start, end = self.intervals[-1]
        self.loading += end - start


def _not_here(**_: Any) -> NoReturn:
    raise LookupError("this session lacks what the operation needs")


class Session:
    """A loaded model and ways to load it anew, as the worker passes it to an operation."""

    def __init__(
        self,
        load: Callable[[], CapableModel],
        current: Callable[[], CapableModel],
        variant: Variant,
        clock: Clock,
        *,
        forget: Callable[[], None] = lambda: None,
        model_class: str = "",
        load_other: Callable[..., CapableModel] = _not_here,
        saved: Callable[[], Trace] = _not_here,
        checkpoint: Path = Path(),
        paths: UsersPath | None = None,
        load_plain: Callable[[], CapableModel] = _not_here,
        seed: str = "",
    ) -> None:
        """
        Args:
            forget: drops the loaded model, so that the next case loads it again.
            load_other: loads a model that is not reused for later cases, with other arguments of ``Backend.load`` than
                the task's own.
            load_plain: loads with no argument but the directory.
            paths: restores the user's path in texts with that of ``checkpoint``.
            seed: what the random states are seeded with once the model is loaded.
        """
        self.load, self._current, self.forget, self.variant, self.clock = load, current, forget, variant, clock
        self.model_class, self.load_other, self.saved, self.checkpoint = model_class, load_other, saved, checkpoint
        self.paths, self.load_plain = paths or UsersPath("", ""), load_plain
        self._seed = seed

    def current(self) -> CapableModel:
        """The loaded model. The numbers that it draws from here on depend on the case, not on its load."""
        model = self._current()
        if self._seed:  # once for a case: two calls of one case must not draw the same numbers
            seed_random(self._seed)
            self._seed = ""
        return model

    def call(self, inputs: Mapping[str, np.ndarray], method: str = "call", **keywords: Any) -> Any:
        """Times one call until its numbers are available: frameworks may return before they have computed."""
        model = self.current()
        with self.clock.backend():
            answer = getattr(model, method)(inputs, **keywords)
            _wait(model, answer)
        return answer


def is_array(value: Field) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def leaves(value: Field, name: str) -> Iterator[tuple[str, Field]]:
    if isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}[{index}]")
    else:
        yield name, value


def _wait(model: Model, answer: Any) -> None:
    """Waits for the device: copies the smallest array to the host, after the work queued before it."""
    values = list(answer.values()) if isinstance(answer, Mapping) else [answer]
    arrays = [leaf for value in values for _, leaf in leaves(value, "") if is_array(leaf)]
    for array in arrays:
        if hasattr(array, "block_until_ready"):
            array.block_until_ready()
    if arrays:
        model.to_numpy(min(arrays, key=lambda array: int(np.prod(tuple(array.shape), dtype=np.int64))))
