"""Runs tasks in worker processes on this machine, one per stack, backend and device, in parallel.

A worker that has finished its tasks is reused for later ones (``parity.capture.worker_pool``).
"""

from __future__ import annotations

import contextlib
import importlib
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from parity.capture.memory import PeakMemory, available, float64_limit, needed
from parity.capture.task import THREADS, CaptureError, OnEvent, Result, Rounds, Task, Usage, covered
from parity.capture.worker.environment import cores
from parity.capture.worker_pool import Kind, WorkerPool, kind_of, process_kind
from parity.capture.worker_process import Child, describe_exit
from parity.core.backends import find_entry
from parity.core.stacks import Stack

TICK = 0.1


class LocalProcesses:
    """Worker processes, restarted for the remaining tasks when one crashes, hangs or is killed.

    As a context manager it reuses workers between runs and ends them on exit. Otherwise they end with each run.

    Args:
        compiled: the folder of the workers' compilation caches.
        jobs: maximum number of parallel workers; by default the number of cores.
        time_limit: limit in seconds for starting a worker, and for each case.
        memory: limit in bytes for the estimated memory of all workers and the measured memory of idle ones; by default
            the free memory. One worker always runs.
    """

    def __init__(
        self, compiled: Path, *, jobs: int | None = None, time_limit: float = 600.0, memory: int | None = None
    ) -> None:
        self.compiled, self.time_limit = compiled, time_limit
        self.jobs = jobs or cores()
        self.memory = available() if memory is None else memory
        self.usage = Usage()
        self._peak = PeakMemory()
        self._pool = WorkerPool()
        self._is_open = False

    def __enter__(self) -> LocalProcesses:
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._pool.close()

    def start_ahead(self, stack: Stack, backend: str, device: str) -> None:
        """Starts a worker without a task, if none is idle, so that its framework is imported while tasks are planned.

        A later task of this kind finds it in the pool. One that cannot be started is left to that task's report.
        """
        kind = process_kind(stack.name, stack.interpreter, stack.environment, backend, device)
        child = self._pool.take(kind)
        if child is None:
            with contextlib.suppress(OSError):
                child = Child(stack.interpreter, stack.environment, process_of(backend, device, self.compiled))
        if child is not None:
            self._pool.give(kind, child)

    def run_rounds(self, work: Sequence[Rounds], on_event: OnEvent) -> None:
        """Runs all work (see ``Executor``); later work starts where earlier work leaves cores idle."""
        ahead = deque(Work(rounds, lambda tasks: self._queues(tasks, on_event)) for rounds in work)
        begun: list[Work] = []
        try:
            while begun or ahead:
                running = self._start(begun, ahead)
                wait_for_output([queue.child for queue in running if queue.child])
                for queue in running:
                    queue.poll()
                self._peak.sample()
                for each in begun:
                    each.go_on()
                self._count(begun)
                begun = [each for each in begun if not each.ended]
        finally:
            for each in begun:
                each.stop()
            if not self._is_open:
                self._pool.close()
            self._count(begun)
            self.usage.backend_seconds = covered(self.usage.intervals)

    def _start(self, begun: list[Work], ahead: deque[Work]) -> list[WorkQueue]:
        """Starts as many queues as fit, beginning more work where cores are idle; returns the running queues."""
        while True:
            running = [queue for each in begun for queue in each.queues if queue.child]
            held = False
            for queue in [queue for each in begun for queue in each.queues if queue.is_waiting]:
                if queue.kind in {other.kind for other in running}:
                    continue
                if self._may_start(queue, running):
                    queue.start()
                    running.append(queue)
                else:
                    held = True
            if held or not ahead or len(running) >= self.jobs:
                return running
            begun.append(ahead.popleft())
            begun[-1].go_on()

    def _queues(self, tasks: Sequence[Task], on_event: OnEvent) -> list[WorkQueue]:
        groups: dict[Kind, list[Task]] = {}
        for task in tasks:
            groups.setdefault(kind_of(task), []).append(task)
        queues = []
        for group in groups.values():
            setup = _setup_options(group, self.memory)
            kind = kind_of(group[0], setup)
            queues.append(WorkQueue(group, kind, setup, self._pool, self.compiled, self.time_limit, on_event))
        return sorted(queues, key=lambda queue: _rank(queue.backend)) if self.jobs > 1 else queues

    def _may_start(self, queue: WorkQueue, running: Sequence[WorkQueue]) -> bool:
        """Whether one more worker fits in memory, ending idle workers if necessary."""
        needed = queue.memory + sum(other.memory for other in running)
        if running and (len(running) >= self.jobs or needed > self.memory):
            return False
        self._pool.make_room(self.memory - needed, besides=queue.kind)
        return True

    def _count(self, begun: Iterable[Work]) -> None:
        self.usage.peak_memory = max(self.usage.peak_memory, self._peak.peak)
        for each in begun:
            self.usage.intervals += each.new_intervals()


class Work:
    """The work on one checkpoint, round by round.

    Args:
        queues: creates the queues of a round's tasks.
    """

    def __init__(self, rounds: Rounds, queues: Callable[[Sequence[Task]], list[WorkQueue]]) -> None:
        self._rounds, self._make = rounds, queues
        self._begun = False
        self._intervals: list[tuple[float, float]] = []
        self.queues: list[WorkQueue] = []
        self.ended = False

    def go_on(self) -> None:
        """Starts the next round once a round is finished; a round without tasks is finished at once."""
        while not self.ended and all(queue.finished for queue in self.queues):
            self._intervals += [interval for queue in self.queues for interval in queue.intervals]
            results = {task: result for queue in self.queues for task, result in queue.results.items()}
            self.queues = []
            try:
                self.queues = self._make(self._rounds.send(results) if self._begun else next(self._rounds))
            except StopIteration:
                self.ended = True
            self._begun = True

    def stop(self) -> None:
        """Ends its workers and leaves the remaining tasks undone."""
        for queue in self.queues:
            queue.kill()
            self._intervals += queue.intervals
        self._rounds.close()

    def new_intervals(self) -> list[tuple[float, float]]:
        """The time intervals in which its workers were busy, since the last call."""
        found, self._intervals = self._intervals, []
        return found


class WorkQueue:
    """The tasks of one kind in one run, and the worker that runs them."""

    def __init__(
        self,
        tasks: Sequence[Task],
        kind: Kind,
        setup: Mapping[str, Any],
        pool: WorkerPool,
        compiled: Path,
        time_limit: float,
        on_event: OnEvent,
    ) -> None:
        self.backend, self.kind = tasks[0].backend, kind
        self.memory = max(needed(task, setup) for task in tasks)
        self.results: dict[str, Result] = {}
        self.intervals: list[tuple[float, float]] = []
        self.child: Child | None = None
        self._pool, self._limit, self._on_event = pool, time_limit, on_event
        self._process = process_of(self.backend, tasks[0].device, compiled, setup)
        self._pending = deque(_by_model(tasks))
        self._ready, self._used, self._began, self._deadline = False, False, 0.0, 0.0
        self._loaded: tuple[str, ...] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no task has been started."""
        return self.child is None and bool(self._pending)

    @property
    def finished(self) -> bool:
        """Whether all tasks are done and the worker is idle or has ended."""
        return self.child is None and not self._pending

    def start(self) -> None:
        """Gives the remaining tasks to an idle worker, or else a new one."""
        first = self._pending[0]
        tasks = [task.to_json() for task in self._pending]
        self._ready, self._loaded, self._began = False, None, time.monotonic()
        self._deadline = self._began + self._limit
        self.child = self._pool.take(self.kind)
        self._used = self.child is not None
        if self.child is not None:
            self.child.send({"tasks": tasks})
            return
        self._on_event("starting", first, None)
        try:
            self.child = Child(first.interpreter, first.environment, {**self._process, "tasks": tasks})
        except OSError as error:
            self._give_up(Result("crash", f"{first.interpreter}: cannot be started: {error.strerror}"))

    def poll(self) -> None:
        """Handles the worker's messages, its exit, and an exceeded time limit."""
        if self.child is None:
            return
        child = self.child
        code = child.ended()  # polled first, so that everything it wrote before it ended is read
        child.drain_stderr()
        for event in child.events():
            self._on_message(event, child)
        if child is not self.child:  # it is idle or was replaced, and sends nothing more
            return
        if code is not None:
            self._on_exit(self._death(code, child), child)
        elif time.monotonic() > self._deadline:
            child.kill()
            doing = "case" if self._ready else "start of the worker"
            self._on_exit(Result("time-out", f"the {doing} took longer than {self._limit:g} s and was stopped"), child)

    def kill(self) -> None:
        """Ends the worker and leaves the remaining tasks undone."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _on_message(self, event: dict[str, Any], child: Child) -> None:
        self.intervals += [(start, end) for start, end in event.get("intervals", ())]
        if event["event"] != "loaded":  # a case's time limit includes loading the model
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
                times = {name: event[name] for name in ("seconds", "load_seconds", "io_seconds")}
                self._record(Result(event["outcome"], event["reason"], **times))
                if event["changed"]:
                    self._replace()
            case "discarded":
                self._replace()
            case "done":
                self._pool.give(self.kind, child)
                self.child = None
            case "unwritable":
                raise CaptureError(event["reason"])

    def _replace(self) -> None:
        """Ends a worker whose global state a task changed; the remaining tasks go to a new one."""
        self.kill()
        if self._pending:
            self.start()

    def _record(self, result: Result) -> None:
        """Records the result of the current task."""
        task = self._pending.popleft()
        self.results[task.id] = result
        self._on_event("finished", task, result)

    def _death(self, code: int, child: Child) -> Result:
        how = describe_exit(code)
        if how == "SIGKILL":
            return Result("out-of-memory", "the worker was killed (SIGKILL), probably for lack of memory")
        if not self._ready:
            return Result("crash", f"the worker did not start ({how}): {child.last_line()}")
        return Result("crash", f"the worker ended with {how}: {child.stderr_tail()}".rstrip(": "))

    def _on_exit(self, result: Result, child: Child) -> None:
        """Records the current task as failed after its worker died, and gives the other tasks to a new worker."""
        ready = self._ready
        child.kill()
        self.child = None
        if not self._pending:
            return
        if self._used and not ready:
            # It ended while idle, or before it took these tasks, so none of them caused it.
            self.start()
            return
        self.intervals.append((self._began, time.monotonic()))  # it could not report its phase itself
        if not ready:
            self._give_up(result)
            return
        task = self._pending[0]
        self._record(result)
        if self._loaded != task.model:
            self._give_up(Result(result.outcome, f"loading the model: {result.reason}"), task.model)
        if self._pending:
            self.start()

    def _give_up(self, result: Result, model: tuple[str, ...] | None = None) -> None:
        """Records the same result for all remaining tasks, or for all of one model."""
        while self._pending and (model is None or self._pending[0].model == model):
            self._record(result)


def _setup_options(tasks: Sequence[Task], memory: int) -> dict[str, Any]:
    """Further keywords for the backend's ``setup``, from its tasks and the available memory.

    Computed here, not in the worker, because only a worker set up with the same options can run these tasks.
    """
    entry = find_entry(tasks[0].backend)
    if entry.setup:
        return dict(entry.setup)
    try:
        kind = getattr(importlib.import_module(entry.module), entry.attribute)
    except (ImportError, AttributeError):  # a third party's in another stack: its worker reports the error
        return {}
    if not hasattr(kind, "setup_for"):
        return {}
    return kind.setup_for([task.to_json() for task in tasks], float64_limit=float64_limit(tasks, memory))


def process_of(backend: str, device: str, compiled: Path, setup: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The first job of a worker without its tasks: the backend's class, and the arguments of its ``setup``."""
    entry = find_entry(backend)
    return {
        "module": entry.module,
        "attribute": entry.attribute,
        "device": device,
        "threads": THREADS,
        "cache": str(compiled),
        "setup": setup or {},
    }


def _by_model(tasks: Sequence[Task]) -> list[Task]:
    """Groups tasks by model, models in the order of their first task."""
    models: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        models.setdefault(task.model, []).append(task)
    return [task for group in models.values() for task in group]


def _rank(backend: str) -> int:
    """Slowest start first; the others fill the time."""
    return -find_entry(backend).start_cost


def wait_for_output(children: Sequence[Child]) -> None:
    """Waits until something can be read, or for one tick: an exit or an exceeded time limit is not signalled."""
    descriptors = [fd for child in children for fd in (child.out, child.err)]
    ready, _, _ = select.select(descriptors, [], [], TICK)
    if not ready and not descriptors:
        time.sleep(TICK)
