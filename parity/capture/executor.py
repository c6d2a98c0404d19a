"""Runs tasks in worker processes on this machine, one per stack, backend and device, side by side."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from parity.capture.memory import PeakMemory, available, estimate
from parity.capture.task import THREADS, CaptureError, Result, Task, Usage, covered
from parity.capture.worker.environment import cores
from parity.capture.worker_process import Child, ending
from parity.core.backends import find_entry

OnEvent = Callable[[str, Task, Result | None], None]
TICK = 0.1


class LocalProcesses:
    """Worker processes, restarted for the remaining tasks when one crashes, hangs or is killed.

    Args:
        compiled: where workers keep compiled programs between runs.
        jobs: workers at a time; by default as many as there are cores.
        time_limit: seconds for starting a worker, and for each case.
        memory: bytes all workers together may be expected to need; by default what is free. One always runs.
    """

    def __init__(
        self, compiled: Path, *, jobs: int | None = None, time_limit: float = 600.0, memory: int | None = None
    ) -> None:
        self.compiled, self.time_limit = compiled, time_limit
        self.jobs = jobs or cores()
        self.memory = available() if memory is None else memory
        self.usage = Usage()
        self._peak = PeakMemory()

    def run(self, tasks: Sequence[Task], on_event: OnEvent) -> dict[str, Result]:
        """Runs all tasks (see ``Executor``)."""
        waiting = deque(self._crews(tasks, on_event))
        crews, running = list(waiting), []
        try:
            while waiting or running:
                while waiting and self._may_start(waiting[0], running):
                    running.append(waiting.popleft())
                    running[-1].start()
                _wait_for_output([crew.child for crew in running if crew.child])
                for crew in running:
                    crew.attend()
                self._peak.sample()
                running = [crew for crew in running if not crew.finished]
        finally:
            for crew in running:
                crew.abandon()
            self._count(crews)
        return {task: result for crew in crews for task, result in crew.results.items()}

    def _crews(self, tasks: Sequence[Task], on_event: OnEvent) -> list[Crew]:
        groups: dict[tuple[Any, ...], list[Task]] = {}
        for task in tasks:
            groups.setdefault((task.stack, task.backend, task.device), []).append(task)
        crews = [Crew(group, self.compiled, self.time_limit, on_event) for group in groups.values()]
        return sorted(crews, key=lambda crew: _rank(crew.backend)) if self.jobs > 1 else crews

    def _may_start(self, crew: Crew, running: Sequence[Crew]) -> bool:
        needed = crew.memory + sum(other.memory for other in running)
        return not running or (len(running) < self.jobs and needed <= self.memory)

    def _count(self, crews: Iterable[Crew]) -> None:
        self.usage.peak_memory = max(self.usage.peak_memory, self._peak.peak)
        self.usage.intervals += [interval for crew in crews for interval in crew.intervals]
        self.usage.backend_seconds = covered(self.usage.intervals)


class Crew:
    """The tasks of one backend, and the worker that is at them."""

    def __init__(self, tasks: Sequence[Task], compiled: Path, time_limit: float, on_event: OnEvent) -> None:
        self.backend, self.device = tasks[0].backend, tasks[0].device
        self.memory = max(estimate(task.weight_bytes, task.dtype) for task in tasks)
        self.results: dict[str, Result] = {}
        self.intervals: list[tuple[float, float]] = []
        self.child: Child | None = None
        self._compiled, self._limit, self._on_event = compiled, time_limit, on_event
        self._pending = deque(_by_model(tasks))
        self._ready, self._began, self._deadline = False, 0.0, 0.0
        self._loaded: tuple[str, ...] | None = None

    @property
    def finished(self) -> bool:
        return self.child is None and not self._pending

    def start(self) -> None:
        """Starts a worker for what is left."""
        first = self._pending[0]
        tasks = [task.to_json() for task in self._pending]
        entry = find_entry(self.backend)
        job = {
            "module": entry.module,
            "attribute": entry.attribute,
            "device": self.device,
            "threads": THREADS,
            "cache": str(self._compiled),
            "tasks": tasks,
        }
        self._ready, self._loaded, self._began = False, None, time.monotonic()
        self._deadline = self._began + self._limit
        self._on_event("starting", first, None)
        try:
            self.child = Child(first.interpreter, first.environment, job)
        except OSError as error:
            self._give_up(Result("crash", f"{first.interpreter}: cannot be started: {error.strerror}"))

    def attend(self) -> None:
        """Takes in what the worker said, and notices when it has ended or is over its time."""
        if self.child is None:
            return
        code = self.child.ended()  # asked first: what it said before it ended is then still read
        self.child.listen()
        for event in self.child.events():
            self._take(event)
        if code is not None:
            self._bury(self._death(code))
        elif time.monotonic() > self._deadline:
            self.child.kill()
            doing = "case" if self._ready else "start of the worker"
            self._bury(Result("time-out", f"the {doing} took longer than {self._limit:g} s and was stopped"))

    def abandon(self) -> None:
        """Ends the worker; what is not done stays undone."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _take(self, event: dict[str, Any]) -> None:
        self.intervals += [(start, end) for start, end in event.get("intervals", ())]
        if event["event"] != "loaded":  # a case's load is part of the case
            self._began = time.monotonic()
            self._deadline = self._began + self._limit
        match event["event"]:
            case "ready":
                self._ready = True
            case "started":
                self._on_event("started", self._pending[0], None)
            case "loaded":
                self._loaded = self._pending[0].model
            case "finished":
                seconds, io_seconds = event["seconds"], event["io_seconds"]
                self._settle(Result(event["outcome"], event["reason"], seconds, io_seconds))
            case "unwritable":
                raise CaptureError(event["reason"])

    def _settle(self, result: Result) -> None:
        """The task at hand is done."""
        task = self._pending.popleft()
        self.results[task.id] = result
        self._on_event("finished", task, result)

    def _death(self, code: int) -> Result:
        how = ending(code)
        if how == "SIGKILL":
            return Result("out-of-memory", "the worker was killed (SIGKILL), as a system does that runs out of memory")
        if not self._ready:
            return Result("crash", f"the worker did not start ({how}): {self.child.last_line()}")
        return Result("crash", f"the worker ended with {how}: {self.child.last_words()}".rstrip(": "))

    def _bury(self, result: Result) -> None:
        """The worker is gone: the task at hand gets the blame, the others a new worker."""
        ready, child = self._ready, self.child
        child.kill()
        self.child = None
        if not self._pending:
            return
        self.intervals.append((self._began, time.monotonic()))  # it could not say itself what it was busy with
        if not ready:
            self._give_up(result)
            return
        task = self._pending[0]
        self._settle(result)
        if self._loaded != task.model:
            self._give_up(Result(result.outcome, f"loading the model: {result.reason}"), task.model)
        if self._pending:
            self.start()

    def _give_up(self, result: Result, model: tuple[str, ...] | None = None) -> None:
        """The same result for every task left, or every one of a model."""
        while self._pending and (model is None or self._pending[0].model == model):
            self._settle(result)


def _by_model(tasks: Sequence[Task]) -> list[Task]:
    """Tasks of one model side by side, models in the order of their first task."""
    models: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        models.setdefault(task.model, []).append(task)
    return [task for group in models.values() for task in group]


def _rank(backend: str) -> int:
    """The longest start first; the others fill the time."""
    return -find_entry(backend).start_cost


def _wait_for_output(children: Sequence[Child]) -> None:
    """Until something can be read, or for a moment: an ended child or a passed deadline makes no noise."""
    descriptors = [fd for child in children for fd in (child.out, child.err)]
    ready, _, _ = select.select(descriptors, [], [], TICK)
    if not ready and not descriptors:
        time.sleep(TICK)
