"""The audit of one checkpoint, as a task on a machine of the cluster."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from parity import api
from parity.capture.cache import TraceCache, default_cache
from parity.capture.in_process import reused_processes
from parity.capture.memory import available, estimate
from parity.capture.worker.environment import cores
from parity.checkpoint.inspection import hub_id, resolve_checkpoint
from parity.core.display import sentence
from parity.core.errors import CheckpointError, InputError
from parity.core.options import AuditOptions
from parity.core.records import Manifest, read_record
from parity.core.stacks import StackError
from parity.core.version import __version__
from parity.fleet.outcome import Answer, AnswerKind, Outcome
from parity.fleet.shared_cache import SharedTraceCache
from parity.fleet.table import rows_of
from parity.fleet.targets import Job
from parity.tools.gate.report_digest import versions_of
from reference.weights import find_weights, open_weights

IDLE = 1_500_000_000
"""Bytes for what an audit holds besides the worker that computes: this process, and idle workers that keep their
imported framework for later cases."""
LEFT_AFTER = 86_400.0
"""Age in seconds from which the run directory of an ended process is removed."""
REASON = 2000
"""Characters of a reason."""


def versions_here() -> dict[str, str]:
    """What the command and every machine must have in the same version; of Python, the minor version."""
    try:
        of_ray = version("ray")
    except PackageNotFoundError:
        of_ray = "none"
    return {"encdec-parity": __version__, "Ray": of_ray, "Python": f"{sys.version_info.major}.{sys.version_info.minor}"}


@dataclass(frozen=True)
class Asked:
    """What is asked of every checkpoint of a fleet."""

    options: AuditOptions
    limit: float
    """Seconds that the audit of one checkpoint may take."""
    most_memory: int
    """The largest reservation of memory that the cluster has room for, bytes."""
    command: Sequence[str] = ()
    """The command line, which the reports name."""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """Environment variables as the command has them; None: not set."""
    cpus: float = 1.0
    """CPUs that one task reserves."""
    shared_cache: str = ""
    """URL of the trace cache that machines share; empty: there is none."""
    versions: Mapping[str, str] = field(default_factory=versions_here)
    """Of the command (``versions_here``)."""


def differing(command: Mapping[str, str], machine: Mapping[str, str]) -> str:
    """``has Ray 2.59.0, and the command is run with Ray 2.60.0``; empty where both have the same versions."""
    names = [name for name in sorted({*command, *machine}) if command.get(name) != machine.get(name)]
    if not names:
        return ""
    theirs, ours = (
        ", ".join(f"{name} {versions.get(name, 'of no known version')}" for name in names)
        for versions in (machine, command)
    )
    return f"has {theirs}, and the command is run with {ours}"


class _TimeLimit(BaseException):
    """The time is over. Not an ``Exception``, so that no handler on the way takes it for one of its own."""


def memory_needed(directory: Path) -> int:
    """Bytes to reserve for the audit of a checkpoint, by the headers of its weights.

    Raises:
        CheckpointError: they cannot be read.
    """
    known, files = find_weights(directory)
    arrays = {each.identity or name: each for name, each in open_weights(known, files).tensors.items()}
    weights = 4 * sum(math.prod(each.shape) for each in arrays.values())
    return IDLE + estimate(weights, "float64", "gradients")


def audit_one(job: Job, asked: Asked, memory: int) -> Answer:
    """Audits one checkpoint, with worker processes that later calls in this process reuse.

    Args:
        memory: bytes that are reserved for it.

    Returns:
        How it ended. Whatever an audit raises is part of the answer.
    """
    outcome = Outcome(
        name=job.name,
        checkpoint=job.target.source,
        revision=job.target.revision,
        device=job.device,
        state="set aside",
        node=socket.gethostname(),
    )

    def ended(kind: AnswerKind, reason: str) -> Answer:
        state = "unreadable" if kind == "unreadable" else "set aside"
        took = round(time.monotonic() - began, 3)
        return Answer(kind, outcome.model_copy(update={"state": state, "reason": reason, "seconds": took}))

    began = time.monotonic()
    if reason := differing(asked.versions, versions_here()):
        return ended("unusable", reason)
    try:
        with _time_limit(asked.limit), _environment(asked):
            return _audited(job, asked, memory, outcome, began)
    except _TimeLimit:
        return ended("time limit", f"the audit took longer than {asked.limit:g} s and was stopped")
    except CheckpointError as error:
        return ended("unreadable", sentence(error, REASON))
    except StackError as error:
        return ended("unusable", sentence(error, REASON))
    except (InputError, OSError, MemoryError) as error:
        return ended("failed", sentence(error, REASON) or type(error).__name__)
    except Exception as error:  # a bug that one checkpoint shows must not end the fleet
        return ended("failed", f"internal error, a bug of parity: {type(error).__name__}: {sentence(error, REASON)}")


def _audited(job: Job, asked: Asked, memory: int, outcome: Outcome, began: float) -> Answer:
    options = replace(asked.options, device=job.device)
    directory = resolve_checkpoint(job.target.source, options.offline, options.cache, job.target.revision)
    needed = memory_needed(directory)
    if memory < min(needed, asked.most_memory):
        return Answer("more memory", outcome, memory=needed)
    folder = options.cache or default_cache()
    store = SharedTraceCache(folder, asked.shared_cache) if asked.shared_cache else TraceCache(folder)
    processes = reused_processes(store.compiled, jobs=1)
    # Idle workers may use this task's share of what is free: a framework that is imported again costs seconds.
    processes.memory = max(memory, int(available() * min(1.0, asked.cpus / cores())))
    processes.time_limit = options.time_limit
    with _run_directory(store.folder) as out:
        report = api.audit([directory], replace(options, out=out), executor=processes, store=store)
        manifest = read_record(Manifest, out / "manifest.json")
        files = {name: (out / name).read_bytes() for name in ("report.json", "report.html")}
    revision = directory.resolve().name if hub_id(directory) else job.target.revision
    update = {
        "state": "audited",
        "revision": revision,
        "reason": sentence("; ".join(report.not_run), REASON),
        "model_class": report.checkpoints[0].documented_class,
        "digest": report.checkpoints[0].digest,
        "cells": len(report.verdicts),
        "totals": report.totals,
        "versions": {stack: versions_of(facts) for stack, facts in report.environments.items()},
        "seconds": round(time.monotonic() - began, 3),
        "cache_problem": store.problem if isinstance(store, SharedTraceCache) else "",
    }
    kind: AnswerKind = "out of memory" if _out_of_memory(manifest) else "audited"
    rows = rows_of(report, manifest, job.target.source, revision)
    return Answer(kind, outcome.model_copy(update=update), rows, files, needed)


def _out_of_memory(manifest: Manifest) -> bool:
    """Whether a worker was killed, as the operating system does when memory is short."""
    return any(trace.outcome == "out-of-memory" for trace in manifest.traces)


@contextmanager
def _run_directory(cache: Path) -> Iterator[Path]:
    """A directory for one run, beside the cache so that its traces are links; removed at the end."""
    folder = cache / "fleet"
    for left in folder.glob("*"):
        try:
            if time.time() - left.stat().st_mtime > LEFT_AFTER:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:  # another process removed it
            continue
    out = folder / uuid.uuid4().hex
    try:
        yield out
    finally:
        shutil.rmtree(out, ignore_errors=True)


@contextmanager
def _environment(asked: Asked) -> Iterator[None]:
    """Gives this process the variables and arguments of the command.

    Ray sets OMP_NUM_THREADS to the CPUs of a task. The workers of an audit have a number of threads of their own, and
    sums that another number splits would differ from those of ``parity audit``.
    """
    before, arguments = {name: os.environ.get(name) for name in asked.environment}, sys.argv
    _set(asked.environment)
    sys.argv = [*asked.command] or sys.argv
    try:
        yield
    finally:
        _set(before)
        sys.argv = arguments


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises ``_TimeLimit`` after so many seconds; only the main thread, in which Ray runs a task, can be stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
