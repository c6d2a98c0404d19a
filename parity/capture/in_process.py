"""Runs the tasks of a model that is an object of this process; the others run in worker processes."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from parity.capture.executor import LocalProcesses
from parity.capture.task import CaptureError, OnEvent, Result, Rounds, Task, Usage
from parity.capture.worker.main import Worker


class WithCallersModel:
    """An executor (``parity.capture.task.Executor``) for runs with one object of this process.

    Args:
        processes: runs the tasks of all other backends.
        name: of the backend that the object is registered as.
        backend: its backend (``parity.backends.user.backend.CallersModel``).
    """

    def __init__(self, processes: LocalProcesses, name: str, backend: Any) -> None:
        self._processes, self._name, self._backend = processes, name, backend
        self.usage = processes.usage

    def run_rounds(self, work: Sequence[Rounds], on_event: OnEvent) -> None:
        self._processes.run_rounds([self._split(rounds, on_event) for rounds in work], on_event)

    def _split(self, rounds: Rounds, on_event: OnEvent) -> Rounds:
        """Runs the object's tasks here, and yields the others."""
        results: Mapping[str, Result] | None = None
        while True:
            try:
                tasks = next(rounds) if results is None else rounds.send(results)
            except StopIteration:
                return
            own = [task for task in tasks if task.backend == self._name]
            rest = [task for task in tasks if task.backend != self._name]
            results = dict((yield rest)) if rest else {}
            for task in own:
                results[task.id] = self._run(task, on_event)

    def _run(self, task: Task, on_event: OnEvent) -> Result:
        on_event("started", task, None)
        events: list[dict[str, Any]] = []
        worker = Worker({"device": task.device}, _Channel(events.append))  # pyright: ignore[reportArgumentType]
        worker.backend = self._backend
        # One worker for each task: a changed setting of the caller's process is recorded, and discards nothing.
        worker.run_task(task.to_json())
        end = next(event for event in reversed(events) if event["event"] in ("finished", "unwritable"))
        if end["event"] == "unwritable":
            raise CaptureError(end["reason"])
        times = {name: end[name] for name in ("seconds", "load_seconds", "io_seconds")}
        result = Result(end["outcome"], end["reason"], **times)
        on_event("finished", task, result)
        return result


class _Channel:
    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        self._take = take

    def send(self, event: str, **content: Any) -> None:
        self._take({"event": event, **content})


@contextmanager
def caller_restored(model: Any) -> Iterator[None]:
    """Restores what a check, or the model, changes in the caller's process: training mode and gradients of a PyTorch
    module, random states, thread counts and PyTorch's switches."""
    states = np.random.get_state(), random.getstate()
    torch = sys.modules.get("torch")
    with _torch_restored(torch, model) if torch is not None else nullcontext():
        try:
            yield
        finally:
            np.random.set_state(states[0])
            random.setstate(states[1])


@contextmanager
def _torch_restored(torch: Any, model: Any) -> Iterator[None]:
    is_module = isinstance(model, torch.nn.Module)
    modes = [(each, each.training) for each in model.modules()] if is_module else []
    gradients = [(each, each.grad) for each in model.parameters()] if is_module else []
    for parameter, _ in gradients:
        parameter.grad = None
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    if sum(parameter.numel() for parameter, _ in gradients) < SMALL:
        torch.set_num_threads(1)
    switches = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    dtype, tracks = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic = _deterministic(torch)
    try:
        yield
    finally:
        for each, training in modes:
            each.training = training
        for parameter, gradient in gradients:
            parameter.grad = gradient
        torch.set_rng_state(random_state)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = switches
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(tracks)
        if _deterministic(torch) != deterministic:
            torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


def _deterministic(torch: Any) -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


SMALL = 1 << 24
"""Parameters of a model below which several threads cost more than they save."""
_POOLS: dict[Path, LocalProcesses] = {}


def reused_processes(compiled: Path, **limits: Any) -> LocalProcesses:
    """Worker processes that are reused by later calls, and end with this process.

    Args:
        compiled: the folder of the workers' compilation caches.
        limits: keywords of ``LocalProcesses``; they are those of the first call.
    """
    if compiled not in _POOLS:
        import atexit

        _POOLS[compiled] = pool = LocalProcesses(compiled, **limits).__enter__()
        atexit.register(pool.__exit__, None, None, None)
    _POOLS[compiled].usage = Usage()
    return _POOLS[compiled]
