"""Runs tasks in worker processes on this machine, one per stack, backend and device, side by side.

A worker that has finished its tasks is kept for later ones (``parity.capture.worker_pool``).
"""

from __future__ import annotations

import importlib
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from parity.capture.memory import PeakMemory, available, by_layer, needed
from parity.capture.task import THREADS, CaptureError, OnEvent, Result, Rounds, Task, Usage, covered
from parity.capture.worker.environment import cores
from parity.capture.worker_pool import Kind, WorkerPool, kind_of
from parity.capture.worker_process import Child, ending
from parity.core.backends import find_entry

TICK = 0.1


class LocalProcesses:
    """Worker processes, restarted for the remaining tasks when one crashes, hangs or is killed.

    As a context manager it keeps its workers from one run to the next, and ends them when it is left. Otherwise they
    end with each run.

    Args:
        compiled: where workers keep compiled programs between runs.
        jobs: workers at a time; by default as many as there are cores.
        time_limit: seconds for starting a worker, and for each case.
        memory: bytes all workers together may be expected to need, idle ones with what they hold; by default what is
            free. One always runs.
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
        self._kept = False

    def __enter__(self) -> LocalProcesses:
        self._kept = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept = False
        self._pool.close()

    def run_rounds(self, work: Sequence[Rounds], on_event: OnEvent) -> None:
        """Runs all work (see ``Executor``): what comes later is begun where the earlier leaves cores free."""
        ahead = deque(Work(rounds, lambda tasks: self._queues(tasks, on_event)) for rounds in work)
        begun: list[Work] = []
        try:
            while begun or ahead:
                running = self._start(begun, ahead)
                _wait_for_output([queue.child for queue in running if queue.child])
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
            if not self._kept:
                self._pool.close()
            self._count(begun)
            self.usage.backend_seconds = covered(self.usage.intervals)

    def _start(self, begun: list[Work], ahead: deque[Work]) -> list[WorkQueue]:
        """Starts what there is room for, and begins more work where cores are left; what runs now."""
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
            setup = _setup_for(group, self.memory)
            kind = kind_of(group[0], setup)
            queues.append(WorkQueue(group, kind, setup, self._pool, self.compiled, self.time_limit, on_event))
        return sorted(queues, key=lambda queue: _rank(queue.backend)) if self.jobs > 1 else queues

    def _may_start(self, queue: WorkQueue, running: Sequence[WorkQueue]) -> bool:
        """Whether there is room for one more, which is made at the cost of idle workers."""
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
    """The work on one checkpoint while it is done, round by round.

    Args:
        queues: makes the queues of a round's tasks.
    """

    def __init__(self, rounds: Rounds, queues: Callable[[Sequence[Task]], list[WorkQueue]]) -> None:
        self._rounds, self._make = rounds, queues
        self._begun = False
        self._intervals: list[tuple[float, float]] = []
        self.queues: list[WorkQueue] = []
        self.ended = False

    def go_on(self) -> None:
        """Where a round is finished, takes the next one; one without tasks is finished at once."""
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
        """Ends its workers; what is not done stays undone."""
        for queue in self.queues:
            queue.kill()
            self._intervals += queue.intervals
        self._rounds.close()

    def new_intervals(self) -> list[tuple[float, float]]:
        """When its workers were busy, since this was asked last."""
        found, self._intervals = self._intervals, []
        return found


class WorkQueue:
    """The tasks of one kind in one run, and the worker that is at them."""

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
        entry = find_entry(self.backend)
        self._process = {
            "module": entry.module,
            "attribute": entry.attribute,
            "device": tasks[0].device,
            "threads": THREADS,
            "cache": str(compiled),
            "setup": setup,
        }
        self._pending = deque(_by_model(tasks))
        self._ready, self._used, self._began, self._deadline = False, False, 0.0, 0.0
        self._loaded: tuple[str, ...] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its tasks have not been begun."""
        return self.child is None and bool(self._pending)

    @property
    def finished(self) -> bool:
        """Whether all tasks are done, and their worker is idle or has ended."""
        return self.child is None and not self._pending

    def start(self) -> None:
        """Has an idle worker, or else a new one, begin with what is left."""
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
        """Takes in what the worker said, and notices when it has ended or is over its time."""
        if self.child is None:
            return
        child = self.child
        code = child.ended()  # asked first: what it said before it ended is then still read
        child.listen()
        for event in child.events():
            self._on_message(event, child)
        if child is not self.child:  # it is idle, or was replaced: either is the last that it says
            return
        if code is not None:
            self._on_exit(self._death(code, child), child)
        elif time.monotonic() > self._deadline:
            child.kill()
            doing = "case" if self._ready else "start of the worker"
            self._on_exit(Result("time-out", f"the {doing} took longer than {self._limit:g} s and was stopped"), child)

    def kill(self) -> None:
        """Ends the worker; what is not done stays undone."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _on_message(self, event: dict[str, Any], child: Child) -> None:
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
        """Ends a worker that a task left changed; what is left goes to a new one."""
        self.kill()
        if self._pending:
            self.start()

    def _record(self, result: Result) -> None:
        """The task at hand is done."""
        task = self._pending.popleft()
        self.results[task.id] = result
        self._on_event("finished", task, result)

    def _death(self, code: int, child: Child) -> Result:
        how = ending(code)
        if how == "SIGKILL":
            return Result("out-of-memory", "the worker was killed (SIGKILL), as a system does that runs out of memory")
        if not self._ready:
            return Result("crash", f"the worker did not start ({how}): {child.last_line()}")
        return Result("crash", f"the worker ended with {how}: {child.stderr_tail()}".rstrip(": "))

    def _on_exit(self, result: Result, child: Child) -> None:
        """The worker is gone: the task at hand gets the blame, the others a new worker."""
        ready = self._ready
        child.kill()
        self.child = None
        if not self._pending:
            return
        if self._used and not ready:
            # It ended while it was idle, or before it took these tasks: none of them has to do with that.
            self.start()
            return
        self.intervals.append((self._began, time.monotonic()))  # it could not say itself what it was busy with
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
        """The same result for every task left, or every one of a model."""
        while self._pending and (model is None or self._pending[0].model == model):
            self._record(result)


def _setup_for(tasks: Sequence[Task], memory: int) -> dict[str, Any]:
    """What the backend's ``setup`` is told beside the usual, by what it will be asked and the memory there is. It is
    decided here, not in the worker, because a worker that was told otherwise is of no use for these tasks."""
    entry = find_entry(tasks[0].backend)
    try:
        kind = getattr(importlib.import_module(entry.module), entry.attribute)
    except (ImportError, AttributeError):  # a third party's, of another stack: its worker says what is the matter
        return {}
    own = kind.setup_for([task.to_json() for task in tasks]) if hasattr(kind, "setup_for") else {}
    return own | by_layer(tasks, memory) if getattr(kind, "by_layer_above", False) else own


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
