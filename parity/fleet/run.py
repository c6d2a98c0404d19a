"""Runs a fleet: submits each checkpoint, decides who is tried again, and stores each result as it ends."""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from parity.capture.cache import default_cache
from parity.capture.plan import subjects
from parity.core.backends import audited
from parity.core.errors import CheckpointError, InputError
from parity.core.options import MAIN, AuditOptions
from parity.core.records import Totals
from parity.core.stacks import find_row, resolve_stack
from parity.fleet import table
from parity.fleet.audit_one import IDLE, Asked, memory_needed
from parity.fleet.folder import Folder
from parity.fleet.on_ray import Lost
from parity.fleet.outcome import Answer, Outcome
from parity.fleet.ray_process import RayProcess
from parity.fleet.shared_cache import SharedTraceCache
from parity.fleet.targets import Job, TargetList
from parity.judge.judge import select_checks

AUDIT_LIMIT = 7200.0
"""Seconds that the audit of one checkpoint may take."""
MOST_DEATHS = 2
"""A checkpoint whose task ended its process so often is set aside, and so is one that could not be audited so often."""
MOST_LOST_NODES = 5
"""Lost machines say nothing about a checkpoint; still, one is not tried for ever."""
AHEAD = 1000
"""Tasks that are submitted at once at least: what an autoscaler can see."""
UNKNOWN = 4_000_000_000
"""Bytes to reserve for a checkpoint whose files are not on this machine; its task asks for more if it needs more."""
WAIT = 1.0
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that tasks have as the command does (``parity.fleet.audit_one``)."""


class Cluster(Protocol):
    """Where tasks run (``parity.fleet.ray_process.RayProcess``)."""

    dashboard: str
    slots: int
    most_memory: int
    gpu_types: tuple[str, ...]

    def share(self, asked: Asked) -> None: ...

    def submit(self, job: Job, memory: int) -> None: ...

    def wait(self, seconds: float) -> Sequence[tuple[Job, Answer | Lost]]: ...


@dataclass(frozen=True)
class Pace:
    """How far a fleet is."""

    total: int
    done: int
    """Checkpoints that have ended, however; including those of an earlier run."""
    failed: int
    """Of these, audited with a cell that is ``fail`` or ``error``, or unreadable."""
    set_aside: int
    before: int
    """Of ``done``, those of an earlier run."""
    cells: int
    """Cells of this run."""
    slots: int
    line: str = ""
    """What is to be said now, about one checkpoint."""


@dataclass
class Attempt:
    """A job that has not ended, and what happened to it so far."""

    job: Job
    memory: int
    tries: int = 0
    deaths: int = 0
    failures: int = 0
    lost_nodes: int = 0
    more_memory: bool = False


@dataclass(frozen=True)
class FleetResult:
    """The result of a fleet."""

    outcomes: Sequence[Outcome]

    @property
    def counts(self) -> Counter[str]:
        """Checkpoints by state."""
        return Counter(each.state for each in self.outcomes)

    @property
    def totals(self) -> Totals:
        """Cells by verdict."""
        counts: Counter[str] = Counter()
        for each in self.outcomes:
            counts.update(each.totals.model_dump(by_alias=True))
        return Totals.model_validate(counts)

    @property
    def exit_code(self) -> int:
        """As that of an audit: 1 with any fail or error; 2 where a checkpoint was not audited or nothing computed."""
        totals = self.totals
        if totals.fail or totals.error:
            return 1
        whole = self.counts["audited"] == len(self.outcomes) and not any(each.reason for each in self.outcomes)
        return 0 if whole and (totals.passed or totals.known) else 2


def fleet(
    targets: TargetList,
    options: AuditOptions,
    out: str | Path,
    *,
    devices: Sequence[str] = ("cpu",),
    address: str | None = None,
    cpus: float = 1.0,
    gpu_type: str = "",
    limit: float = AUDIT_LIMIT,
    resume: bool = False,
    shared_cache: str = "",
    progress: Callable[[Pace], None] = lambda pace: None,
    opened: Callable[[Cluster], None] = lambda cluster: None,
    cluster: AbstractContextManager[Cluster] | None = None,
) -> FleetResult:
    """Audits every checkpoint of a list on a cluster, and stores the results.

    Args:
        options: of each audit; ``device``, ``out``, ``jobs`` and ``memory`` are set for each task.
        out: the directory of the results, or a URL that fsspec opens.
        devices: each checkpoint is audited on each.
        address: of a Ray cluster; None starts Ray on this machine.
        cpus: CPUs that one audit reserves.
        gpu_type: the GPU that audits on CUDA need, by Ray's name (``A100``); "" for any.
        limit: seconds that the audit of one checkpoint may take.
        resume: go on with what ``out`` has.
        shared_cache: URL of a trace cache that all machines share (``parity.fleet.shared_cache``).
        progress: called as checkpoints end.
        opened: called once tasks can be submitted.
        cluster: another place to run tasks than Ray.

    Returns:
        The outcomes of all checkpoints, those of earlier runs included.

    Raises:
        InputError: an argument cannot be used, ``out`` has another fleet, Ray is not installed or cannot be reached, a
            machine cannot run audits, or a result cannot be written. Results that were written are kept.
    """
    table.check_installed()
    _check(options, devices, address is None)
    if shared_cache:
        SharedTraceCache(options.cache or default_cache(), shared_cache).check()
    folder = Folder(out)
    with folder.locked():
        folder.begin({**options.recorded(), **_recorded(options)}, resume)
        known = {each.name: each for each in folder.outcomes()}
        jobs = [Job(target, device) for target in targets.targets for device in devices]
        for answer in _wrong(targets):
            folder.write(answer)
            known[answer.outcome.name] = answer.outcome
        planned = {*(job.name for job in jobs), *(answer.outcome.name for answer in _wrong(targets))}
        known = {name: each for name, each in known.items() if name in planned}
        waiting = [job for job in jobs if job.name not in known]
        if waiting:
            with cluster or RayProcess(address, cpus, gpu_type) as opening:
                notice = _without_gpu(waiting, gpu_type, opening)
                if notice and address is None:
                    raise InputError(f"--device cuda: {notice}")
                opened(opening)
                environment = {name: os.environ.get(name) for name in VARIABLES}
                asked = Asked(options, limit, opening.most_memory, tuple(sys.argv), environment, cpus, shared_cache)
                run = _Run(folder, opening, asked, known, len(planned), progress)
                run.run(waiting, f"{notice}: audits on cuda wait until one joins" if notice else "")
        return FleetResult([known[name] for name in sorted(known)])


def _without_gpu(jobs: Sequence[Job], gpu_type: str, cluster: Cluster) -> str:
    """That no machine has a GPU which jobs need; "" if one has, or none is needed."""
    if all(job.device != "cuda" for job in jobs) or (cluster.gpu_types and gpu_type in ("", *cluster.gpu_types)):
        return ""
    there = ", ".join(filter(None, cluster.gpu_types))
    return f"no machine has a GPU{f' of type {gpu_type}' if gpu_type else ''}{f'; there are {there}' if there else ''}"


def _check(options: AuditOptions, devices: Sequence[str], here: bool) -> None:
    """Checks the options once, before every task would refuse them.

    Args:
        here: whether tasks run on this machine, so that its stacks are theirs.

    Raises:
        InputError: no such check, backend, stack or device.
    """
    select_checks(options.checks)
    offered: dict[str, Sequence[str]] = {}
    for text in options.stacks:
        if here or text == MAIN:
            stack = resolve_stack(text)
            offered[stack.name] = stack.backends
        else:
            offered[text] = audited() if "/" in text else find_row(text).backends
    for device in devices:
        replace(options, device=device)
        subjects(offered, options.backends, device, options.dtypes)


class _Run:
    """A fleet in progress."""

    def __init__(
        self,
        folder: Folder,
        cluster: Cluster,
        asked: Asked,
        known: dict[str, Outcome],
        total: int,
        progress: Callable[[Pace], None],
    ) -> None:
        self._folder, self._cluster, self._asked = folder, cluster, asked
        self._known, self._total, self._progress = known, total, progress
        self._before, self._cells = len(known), 0
        self._running: dict[str, Attempt] = {}

    def run(self, jobs: Sequence[Job], notice: str = "") -> None:
        """Runs all jobs, large checkpoints first, so that none of them is left to the end alone.

        Args:
            notice: reported once.
        """
        self._cluster.share(self._asked)
        attempts = [Attempt(job, self._reserved(job)) for job in jobs]
        waiting = deque(sorted(attempts, key=lambda each: -each.memory))
        ahead = max(AHEAD, 4 * self._cluster.slots)
        self._report(notice)
        while waiting or self._running:
            while waiting and len(self._running) < ahead:
                self._submit(waiting.popleft())
            for job, answer in self._cluster.wait(WAIT):
                self._ended(self._running.pop(job.name), answer)
            self._report()

    def _reserved(self, job: Job) -> int:
        try:
            directory = Path(job.target.source)
            needed = memory_needed(directory) if directory.is_dir() else UNKNOWN
        except (CheckpointError, OSError):
            needed = IDLE  # its task says what is wrong with it
        return self._possible(needed)

    def _possible(self, memory: int) -> int:
        """At most what the largest machine has: an audit with less computes the oracle a layer at a time."""
        return min(memory, self._cluster.most_memory)

    def _submit(self, attempt: Attempt) -> None:
        self._running[attempt.job.name] = attempt
        attempt.tries += 1
        self._cluster.submit(attempt.job, attempt.memory)

    def _ended(self, attempt: Attempt, answer: Answer | Lost) -> None:
        """Stores the result, or submits the job again."""
        reason = self._again(attempt, answer)
        if reason is None:
            self._submit(attempt)
            return
        if isinstance(answer, Answer) and (answer.kind in ("audited", "unreadable") or answer.rows):
            outcome = answer.outcome.model_copy(update={"tries": attempt.tries})
            self._store(replace(answer, outcome=outcome))
            return
        update = {"state": "set aside", "reason": reason, "tries": attempt.tries}
        outcome = answer.outcome if isinstance(answer, Answer) else _outcome_of(attempt.job)
        self._store(Answer("failed", outcome.model_copy(update=update)))

    def _again(self, attempt: Attempt, answer: Answer | Lost) -> str | None:
        """Why a job has ended; None where it is to be tried again."""
        kind, reason = (
            (answer.cause, answer.reason) if isinstance(answer, Lost) else (answer.kind, answer.outcome.reason)
        )
        if kind == "unusable" and isinstance(answer, Answer):
            raise InputError(f"{answer.outcome.node}: {reason}; after that is mended, --resume goes on")
        if kind == "more memory" and isinstance(answer, Answer):
            attempt.memory, attempt.tries = self._possible(answer.memory), attempt.tries - 1
            return None
        if kind in ("out of memory", "memory"):
            if attempt.more_memory:
                return f"out of memory twice: {reason}"
            attempt.more_memory, attempt.memory = True, self._possible(2 * attempt.memory)
            return None
        if kind == "worker":
            attempt.deaths += 1
            return None if attempt.deaths < MOST_DEATHS else f"its process ended {MOST_DEATHS} times: {reason}"
        if kind == "node":
            attempt.lost_nodes += 1
            return None if attempt.lost_nodes < MOST_LOST_NODES else f"lost with {MOST_LOST_NODES} machines: {reason}"
        if kind == "failed":
            attempt.failures += 1
            return None if attempt.failures < MOST_DEATHS else reason
        return reason

    def _store(self, answer: Answer) -> None:
        outcome = answer.outcome
        self._folder.write(answer)
        self._known[outcome.name] = outcome
        self._cells += outcome.cells
        line = f"{outcome.checkpoint}: {outcome.state}: {outcome.reason}" if outcome.state != "audited" else ""
        self._report(line)

    def _report(self, line: str = "") -> None:
        known = self._known.values()
        bad = [each for each in known if each.state == "unreadable" or each.totals.fail or each.totals.error]
        self._progress(
            Pace(
                total=self._total,
                done=len(known),
                failed=len(bad),
                set_aside=sum(each.state == "set aside" for each in known),
                before=self._before,
                cells=self._cells,
                slots=self._cluster.slots,
                line=line,
            )
        )


def _outcome_of(job: Job) -> Outcome:
    target = job.target
    return Outcome(
        name=job.name, checkpoint=target.source, revision=target.revision, device=job.device, state="set aside"
    )


def _wrong(targets: TargetList) -> Iterator[Answer]:
    """The lines that name no checkpoint, as unreadable ones."""
    for target, reason in targets.wrong:
        update = {"state": "unreadable", "reason": reason}
        yield Answer("unreadable", _outcome_of(Job(target)).model_copy(update=update))


def _recorded(options: AuditOptions) -> dict[str, Any]:
    """Further options that verdicts depend on, besides those that an audit records."""
    names = ("backends", "stacks", "dtypes", "strict")
    values = {name: getattr(options, name) for name in names}
    return {name: [*value] if isinstance(value, tuple) else value for name, value in values.items()}
