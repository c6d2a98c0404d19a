"""Capture: from checkpoints to a run directory."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.backends.capabilities import cannot_run
from parity.capture.cache import TraceCache, default_cache
from parity.capture.executor import LocalProcesses
from parity.capture.plan import (
    REFERENCES,
    Cell,
    LocalStack,
    Target,
    add_peers,
    make_task,
    not_run,
    subjects,
    target_for,
    without_peer,
)
from parity.capture.probe import probe
from parity.capture.refusals import refusal
from parity.capture.run_directory import MANIFEST, clear, link, locked, prepare, run_directory, trace_name
from parity.capture.sources import OwnSources
from parity.capture.task import CaptureError, CaptureStopped, Event, Executor, Result, Rounds, Task, covered
from parity.capture.views import Views
from parity.capture.worker.handed_files import FilesChanged, UsersPath
from parity.capture.worker.saving import without_large_files
from parity.cases.unaccepted import without_inputs
from parity.core.backends import find_entry
from parity.core.case import Case
from parity.core.eligibility import Eligible, Skip, eligibility
from parity.core.model_spec import ModelSpec
from parity.core.options import DEFAULTS, AuditOptions
from parity.core.records import STOPPED, CheckpointRecord, Manifest, TraceRecord, Unreadable, write_record
from parity.core.subject import ORACLE, Subject
from parity.core.trace import Trace, TraceError
from parity.core.version import __version__
from reference.errors import CheckpointError

if TYPE_CHECKING:
    from parity.cases.inputs import Row
    from parity.checkpoint.inspection import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("oracle", "noise_floor")
"""Roles that only run for comparison with candidates."""
MakeCases = Callable[[ModelSpec, list[dict[str, Any]] | None, dict[str, Any]], list[Case]]
Derive = Callable[[Manifest, Path], Mapping[str, list[Case]]]
"""Makes follow-up cases from what was captured so far (the manifest and the run directory), by checkpoint; each names
its parents by digest."""
Narrow = Callable[[list[Case]], list[Case]]
"""Restricts cases to fewer roles."""


class NothingReadable(CheckpointError):
    """No checkpoint can be read; the message lists each with its cause."""

    def __init__(self, unreadable: Sequence[Unreadable]) -> None:
        causes = "; ".join(each.cause for each in unreadable)
        super().__init__(f"none of {len(unreadable)} checkpoints can be read", causes)


def capture(
    checkpoints: Sequence[Path],
    options: AuditOptions = DEFAULTS,
    *,
    derive: Sequence[Derive] = (),
    progress: Callable[[Event], None] | None = None,
    executor: Executor | None = None,
    candidates: Mapping[str, Sequence[Subject]] | None = None,
    unreadable: Sequence[Unreadable] = (),
    others_judged: bool = False,
    narrow: Narrow | None = None,
    inspected: Callable[[Sequence[Checkpoint]], None] | None = None,
    captured: Callable[[Manifest], None] | None = None,
    selected: Sequence[str] | None = None,
    start: float | None = None,
    unaccepted: Mapping[str, str] | None = None,
    store: TraceCache | None = None,
) -> Manifest:
    """Runs every case of these checkpoints on every subject and writes a run directory.

    Args:
        checkpoints: directories with ``config.json`` and weights.
        options: options of the audit. An earlier run's manifest and traces in ``options.out`` are replaced. The oracle
            runs whenever a model backend is judged, even if only others are named.
        derive: run in order after the base cases; each sees the traces of the ones before it.
        progress: receives events, in this thread.
        executor: runs the tasks; processes on this machine by default.
        candidates: by a checkpoint's name, the subjects judged on it, instead of what the stacks offer. No two of these
            checkpoints may have the same class.
        unreadable: further requested checkpoints that cannot be found; recorded in the manifest.
        others_judged: whether traces captured elsewhere are judged too, so that a run without any local backend is
            valid.
        narrow: removes from base and follow-up cases what no check reads.
        inspected: receives the readable checkpoints before any case runs.
        captured: receives the manifest of one checkpoint when it is complete, while others are still being captured. It
            may raise ``CaptureStopped``: then the run ends, with the checkpoints that are complete.
        selected: the backends that a filter leaves, as in ``options.backends``. Unlike those, one that cannot run is
            left out, and is no error while another can run. Ignored where backends are requested.
        start: when the command started, by ``time.monotonic``; recorded as the phase ``start``.
        unaccepted: inputs that a user's model does not accept, with the reason (``parity.cases.unaccepted``).
        store: the cache of traces; by default the one in ``options.cache``.

    A checkpoint that cannot be read is skipped and recorded as unreadable, if another one can be read.

    Raises:
        CaptureError: no case can run, or traces cannot be written. Captured traces stay in the cache.
        CheckpointError: no checkpoint can be read (``reference.errors``).
        InputsFileError: the file of inputs cannot be used.
        StackError: a stack is not found (``parity.core.stacks``).
    """
    out = run_directory(options.out)
    with locked(out):
        began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        # Invalid input leaves an earlier run's directory unchanged.
        found, unread = _inspect(checkpoints, options.model_class, unreadable)
        if inspected is not None:
            inspected(found)
        base = _base_cases(found, unread, _rows(options.inputs, found), options)
        if unaccepted:
            base = {name: [without_inputs(case, unaccepted) for case in cases] for name, cases in base.items()}
        found = [each for each in found if each.name in base]
        store = store or TraceCache(options.cache or default_cache())
        prepare(out / "traces", "the run directory")
        prepare(store.traces, "the cache")
        store.remove_parts()
        # Workers are reused for all rounds and all checkpoints; a caller that passes an executor decides that itself.
        pool = contextlib.nullcontext()
        if executor is None:
            limits = {"jobs": options.jobs, "time_limit": options.time_limit, "memory": options.memory}
            executor = pool = LocalProcesses(store.compiled, **limits)
        views = Views(store.folder / "views")
        run = _Run(
            out, store, views, executor, progress or (lambda event: None), unread, options.recorded(), narrow or list
        )
        run.plan(found, options, candidates, others_judged, selected)
        clear(out)
        planned = time.monotonic()
        with _ended_by_sigterm(), pool, views, run.uncached_removed():
            run.prepare(base)
            work: dict[str, list[Rounds]] = {}
            for each in found:
                work.setdefault(each.digest, []).append(run.rounds(each.name, derive, started, captured))
            try:
                executor.run_rounds([_in_sequence(equal) for equal in work.values()], run.on_event)
            except CaptureStopped:
                run.stop()
        capturing, working = time.monotonic() - planned, executor.usage.backend_seconds
        busy = covered([*executor.usage.intervals, *run.handed_on])
        # The phases add up to the wall time: in `backends` at least one backend was busy, in the others none.
        seconds = {} if start is None else {"start": max(0.0, began - start)}
        seconds |= {"plan": planned - began, "backends": working, "capture": max(0.0, capturing - busy)}
        if captured is not None:
            seconds["judge"] = busy - working
        manifest = run.manifest(started, seconds)
        try:
            write_record(manifest, out / MANIFEST)
        except OSError as error:
            raise CaptureError(f"{out / MANIFEST}: cannot be written: {error.strerror or error}") from error
        return manifest


def _in_sequence(work: Iterable[Rounds]) -> Rounds:
    """The work on checkpoints with identical files, in sequence, so that later ones find the traces of the first in the
    cache."""
    for rounds in work:
        yield from rounds


def _rows(inputs: Path | None, found: Sequence[Checkpoint]) -> list[Row] | None:
    """One list of rows for all checkpoints, validated for each; None without a file.

    Raises:
        InputsFileError: it cannot be read, or is invalid for one of them.
    """
    if inputs is None:
        return None
    from parity.cases.inputs import InputsFileError, read_inputs

    rows = [read_inputs(inputs, each.path, each.model_spec) for each in found]
    for each, others in zip(found, rows, strict=True):
        if others != rows[0]:
            raise InputsFileError(
                f"{inputs}: {found[0].path} and {each.path} encode its texts differently: audit them one at a time"
            )
    return rows[0]


def _base_cases(
    found: Sequence[Checkpoint], unread: list[Unreadable], rows: list[Row] | None, options: AuditOptions
) -> dict[str, list[Case]]:
    """The base cases by checkpoint; one without possible cases is recorded as unreadable, if another has cases.

    Raises:
        CheckpointError: no checkpoint has a possible case.
    """
    made, last = {}, None
    for checkpoint in found:
        try:
            made[checkpoint.name] = _make_cases(checkpoint, rows, options)
        except CheckpointError as error:
            unread.append(Unreadable(name=str(checkpoint.path), cause=str(error)))
            last = error
    if not made and last is not None:
        raise last if len(unread) == 1 else NothingReadable(unread)
    return made


def _make_cases(checkpoint: Checkpoint, rows: list[Row] | None, options: AuditOptions) -> list[Case]:
    """The base cases of one checkpoint: its model, the documented API of its class, and its files."""
    model_spec = checkpoint.model_spec
    if options.cases is not None:
        return options.cases(model_spec, rows, checkpoint.generation)
    from parity.cases.documented_api import documented_cases
    from parity.cases.files import file_cases
    from parity.cases.standard import standard_cases

    standard = list(standard_cases(model_spec, rows, checkpoint.generation))
    further = []
    if options.case_set == "exhaustive":
        from parity.cases.exhaustive import exhaustive_cases

        further = exhaustive_cases(model_spec, standard)
    return [*standard, *further, *documented_cases(model_spec, standard), *file_cases(model_spec, checkpoint.path)]


def _inspect(
    paths: Sequence[Path], model_class: str | None, unreadable: Sequence[Unreadable]
) -> tuple[list[Checkpoint], list[Unreadable]]:
    """Splits checkpoints into readable ones, and unreadable ones with their causes.

    Raises:
        CaptureError: no checkpoint was given. CheckpointError: none can be read; the message lists every cause.
    """
    from parity.checkpoint.inspection import inspect_checkpoint

    if not paths:
        raise CaptureError("no checkpoint was given")
    seen: Counter[str] = Counter()
    found, unread, last = [], list(unreadable), None
    for path in paths:
        try:
            checkpoint = inspect_checkpoint(path, model_class)
        except CheckpointError as error:
            unread.append(Unreadable(name=str(path), cause=str(error)))
            last = error
            continue
        seen[checkpoint.name] += 1
        again = seen[checkpoint.name]
        found.append(replace(checkpoint, name=f"{checkpoint.name}-{again}") if again > 1 else checkpoint)
    if not found and len(unread) == 1 and last is not None:
        raise last
    if not found:
        raise NothingReadable(unread)
    return found, unread


class _Run:
    """One capture in progress: subjects, cases, and the traces so far."""

    def __init__(
        self,
        out: Path,
        cache: TraceCache,
        views: Views,
        executor: Executor,
        progress: Callable[[Event], None],
        unreadable: list[Unreadable],
        options: dict[str, Any],
        narrow: Narrow,
    ) -> None:
        self.out, self.cache, self.views, self.executor, self.progress = out, cache, views, executor, progress
        self.unreadable, self.options, self.narrow = unreadable, options, narrow
        self.checkpoints: dict[str, Any] = {}
        self.local_stacks: dict[str, LocalStack] = {}
        self.targets: list[Target] = []
        self.cases: dict[str, list[Case]] = {}
        self.records: dict[str, list[TraceRecord]] = {}
        self.not_run: list[str] = []
        self._sources = OwnSources(ROOT)
        self._own: dict[str, str] = {}
        self._name = uuid.uuid4().hex
        self._uncached: set[str] = set()
        self._new: dict[str, list[str]] = {}
        self._views: dict[tuple[str, frozenset[str]], Path | str] = {}
        self._refusals: dict[tuple[str, str], str] = {}
        self.handed_on: list[tuple[float, float]] = []
        """Intervals in which the callback for captured checkpoints ran, by the system's monotonic clock."""
        self._whole: list[str] = []
        self._base: dict[str, list[Cell]] = {}
        # Traces are counted as the manifest records them, once for each subject: two can share one.
        self._planned: Counter[str] = Counter()
        self._cached: set[str] = set()
        self._done: set[str] = set()
        self._count = 0
        self._cached_count = 0
        self._done_count = 0

    def plan(
        self,
        checkpoints: Sequence[Checkpoint],
        options: AuditOptions,
        candidates: Mapping[str, Sequence[Subject]] | None = None,
        others_judged: bool = False,
        selected: Sequence[str] | None = None,
    ) -> None:
        """Resolves the stacks, probes them, and determines the capabilities of each subject."""
        from parity.core.stacks import resolve_stack

        wanted, device = options.backends, options.device
        self.checkpoints = {checkpoint.name: checkpoint for checkpoint in checkpoints}
        found = [resolve_stack(text) for text in options.stacks]
        named = None if candidates is None else list(dict.fromkeys(s for each in candidates.values() for s in each))
        offered = {stack.name: stack.backends for stack in found}
        everyone = subjects(offered, wanted, device, options.dtypes, named, None if wanted else selected)
        requested = [stack.name for stack in found if stack.name != "main"] or ["main"]
        # The oracle, the noise floor and the file run in ``main`` even if only other stacks were requested.
        for stack in {stack.name: stack for stack in [resolve_stack("main"), *found]}.values():
            names = sorted({s.backend for s in everyone if s.stack == stack.name})
            facts = probe(stack.name, stack.interpreter, stack.environment, names, cuda=device == "cuda")
            self.local_stacks[stack.name] = LocalStack(stack.name, stack.interpreter, stack.environment, facts)
        if device == "cuda" and not any(local.cuda_devices() for local in self.local_stacks.values()):
            raise CaptureError("--device cuda: no CUDA device is seen by torch or JAX in any stack; use --device cpu")
        everyone = add_peers(everyone, self.local_stacks["main"].facts["versions"], options.references)
        _oracle_can_run(everyone, self.local_stacks["main"].facts["versions"])
        kinds = dict.fromkeys(each.model_spec.kind for each in checkpoints)
        chosen = (
            {} if candidates is None else {each.model_spec.kind: set(candidates[each.name]) for each in checkpoints}
        )
        self.targets = [
            self._target(subject, kind, by_name=candidates is not None or wanted is not None)
            for kind in kinds
            for subject in everyone
            if subject.role != "candidate" or not chosen or subject in chosen[kind]
        ]
        versions = {name: local.facts["versions"] for name, local in self.local_stacks.items()}
        able = any(each.can_run for each in self.targets if each.is_candidate)
        if candidates is None and (wanted is not None or selected is None or not able):
            self.not_run = not_run(self.targets, wanted or selected, requested, versions)
        if self.not_run and not others_judged and not able:
            raise CaptureError("; ".join(self.not_run))

    def _target(self, subject: Subject, kind: tuple[str, tuple[str, ...]], by_name: bool) -> Target:
        """A subject's capabilities for models of a kind; a reference without its peer has none, unless it was requested
        by name."""
        versions = self.local_stacks[subject.stack].facts["versions"]
        alone = subject.role == "candidate" and not by_name
        return target_for(subject, versions, kind, without_peer(subject.backend, versions) if alone else "")

    def prepare(self, base: Mapping[str, list[Case]]) -> None:
        """Plans the base cases of all checkpoints, so that the total is known in advance."""
        self._base = {name: self._cells(name, cases) for name, cases in base.items()}
        self._cached = {key for key in self._planned if self.cache.path(key).exists()}
        self._report_planned()

    def rounds(
        self, name: str, derive: Sequence[Derive], started: str, captured: Callable[[Manifest], None] | None
    ) -> Rounds:
        """Runs a checkpoint's cases on every subject that supports them: first the base cases, then those derived from
        them."""
        yield from self._compute(self._base.pop(name))
        for more in derive:
            derived = more(self.manifest(started, {}, name), self.out)
            yield from self._compute(self._cells(name, derived.get(name, [])))
        self._drop_saved_files(name)
        self.cache.publish(key for key in self._new.pop(name, []) if key not in self._uncached)
        self._whole.append(name)
        if captured is not None:
            begun = time.monotonic()
            try:
                captured(self.manifest(started, {}, name))
            finally:
                self.handed_on.append((begun, time.monotonic()))

    def stop(self) -> None:
        """Leaves out of the run the checkpoints that are not captured as a whole, and records them as not run."""
        left_out = [name for name in self.checkpoints if name not in self._whole]
        self.not_run = [*self.not_run, *(f"{name}: not audited: {STOPPED}" for name in left_out)]
        self.checkpoints = {name: self.checkpoints[name] for name in self._whole}

    def _cells(self, name: str, cases: list[Case]) -> list[Cell]:
        """The cells of these cases, which become part of the run."""
        cases = self.narrow(cases)
        self.cases.setdefault(name, []).extend(cases)
        model_spec = self.checkpoints[name].model_spec
        targets = [
            (index, each)
            for index, each in enumerate(self.targets)
            if self._has_judged(each) and each.accepts(model_spec)
        ]
        cells = [
            self._cell(index, name, case)
            for case in cases
            for judged in [_is_judged(case, [each for _, each in targets])]
            for index, each in targets
            if each.is_requested(case) and (judged or each.subject.role not in MEASURES)
        ]
        self._planned.update(cell.task.id for cell in cells)
        self._count += len(cells)
        self._done_count += sum(cell.task.id in self._done for cell in cells)
        return cells

    def _compute(self, cells: list[Cell]) -> Rounds:
        """Computes what is not in the cache, each trace once, and records all results."""
        found = {}
        for key in dict.fromkeys(cell.task.id for cell in cells):
            if (trace := self.cache.find(key)) is not None:
                found[key] = trace.digest
        missing = {cell.task.id: cell.task for cell in cells if cell.task.id not in found}
        self._cached = (self._cached - set(missing)) | set(found)
        for key in found:
            self._finish(key)
        self._report_planned()
        tasks, results = self._with_views(cells, missing)
        if tasks:
            results |= yield _oracle_first(tasks)
        self._report_progress("captured")
        for cell in cells:
            # Two subjects can share a trace (a noise floor member may be a candidate); its time counts once.
            record = self._record(cell, results.get(cell.task.id), found.get(cell.task.id))
            self.records.setdefault(cell.checkpoint, []).append(record)
            if (result := results.get(cell.task.id)) is not None:
                results[cell.task.id] = replace(result, seconds=0.0, load_seconds=0.0, io_seconds=0.0)

    def _with_views(self, cells: Sequence[Cell], missing: Mapping[str, Task]) -> tuple[list[Task], dict[str, Result]]:
        """The tasks with the private directories of their backends, created on first use; and the results of those
        whose checkpoint changed after its digest was taken."""
        tasks, ended = [], {}
        for name, task in {cell.task.id: (cell.checkpoint, cell.task) for cell in cells}.values():
            if task.id not in missing:
                continue
            checkpoint = self.checkpoints[name]
            # Our own readers run no code from a file, and report most precisely why it is invalid.
            empty = frozenset() if find_entry(task.backend).reads_data_only else frozenset(checkpoint.unexamined)
            about = (name, empty)
            if about not in self._views:
                try:
                    self._views[about] = self.views.make(checkpoint.path, checkpoint.handed, empty)
                except FilesChanged as error:
                    self._views[about] = str(error)
            view = self._views[about]
            if isinstance(view, Path):
                tasks.append(replace(task, view=view))
            else:
                ended[task.id] = Result("changed", view)
                self.on_event("finished", task, ended[task.id])
        return tasks, ended

    def _has_judged(self, target: Target) -> bool:
        """Whether the result is compared with anything: oracle and noise floor only run for models where a candidate is
        judged."""
        measures = target.subject.role in MEASURES
        return not measures or any(
            each.subject.role == "candidate" and each.component == "model" for each in self.targets
        )

    def _cell(self, index: int, name: str, case: Case) -> Cell:
        subject = self.targets[index].subject
        if subject.backend not in self._own:
            self._own[subject.backend] = self._sources.digest(subject.backend)
        own = self._own[subject.backend]
        checkpoint, about = self.checkpoints[name], (name, subject.backend)
        if about not in self._refusals:
            names = [file.name for file in checkpoint.handed]
            self._refusals[about] = refusal(subject.backend, checkpoint.path, names, checkpoint.unexamined)
        refused = self._refusals[about]
        local_stack = self.local_stacks[subject.stack]
        task = make_task(local_stack, subject, checkpoint, case, own, self.cache, self._name, refused)
        if not find_entry(subject.backend).cached:
            self._uncached.add(task.id)
        return Cell(index, name, case, task)

    def _drop_saved_files(self, name: str) -> None:
        """Removes large saved files from the run and the cache once they have been loaded: each is as large as the
        model."""
        operations = {case.name: case.operation for case in self.cases[name]}
        records = self.records.get(name, [])
        for index, record in enumerate(records):
            if operations[record.case] != "save" or record.path is None:
                continue
            path = self.out / record.path
            trace = Trace.read(path, record.digest)
            small = without_large_files(trace)
            if small is not None:
                self._uncached.add(trace.provenance["key"])
                small.write(path)  # by a rename: the cache's own link remains complete until it is removed
                records[index] = record.model_copy(update={"digest": small.digest})

    @contextlib.contextmanager
    def uncached_removed(self) -> Iterator[None]:
        """Removes traces with unknown dependencies from the cache at the end of the run, so that no later run reuses
        them. Until then follow-up cases are made from them."""
        try:
            yield
        finally:
            for key in self._uncached:
                self.cache.path(key).unlink(missing_ok=True)

    def _record(self, cell: Cell, result: Result | None, cached: str | None) -> TraceRecord:
        """Records the result of a cell; ``cached`` is the digest of its trace if that was in the cache."""
        result, path, digest = result or Result("captured"), None, cached or ""
        if result.outcome == "captured":
            path = f"traces/{trace_name(cell.checkpoint, self.targets[cell.subject].subject, cell.case.name)}"
            link(self.cache.path(cell.task.id), self.out / path)
            if not cached:
                digest, reason = self._written(self.out / path, cell.task.id)
                if reason:
                    result, path = replace(result, outcome="harness-error", reason=reason), None
                else:
                    self._new.setdefault(cell.checkpoint, []).append(cell.task.id)
        return TraceRecord(
            checkpoint=cell.checkpoint,
            subject=cell.subject,
            case=cell.case.name,
            outcome=result.outcome,
            path=path,
            digest=digest,
            reason=self._restore_user_path(cell.checkpoint, result.reason),
            cached=cached is not None,
            seconds=result.seconds,
            load_seconds=result.load_seconds,
            io_seconds=result.io_seconds,
        )

    def _restore_user_path(self, checkpoint: str, reason: str) -> str:
        """A worker's last error output, with the user's path restored."""
        for (name, _), view in self._views.items():
            if name == checkpoint and isinstance(view, Path):
                reason = UsersPath(str(view), str(self.checkpoints[checkpoint].path)).text(reason)
        return reason

    def _written(self, path: Path, key: str) -> tuple[str, str]:
        """The digest of the trace that a worker wrote, or the reason why it is invalid."""
        try:
            trace = Trace.read(path)
        except TraceError as error:
            return "", str(error)
        return (trace.digest, "") if trace.provenance.get("key") == key else ("", f"{path}: the trace of another key")

    def on_event(self, kind: str, task: Task, result: Result | None) -> None:
        """Handles the executor's events and reports progress."""
        if kind == "finished":
            self._finish(task.id)
        self._report_progress(kind, task, result)

    def _finish(self, key: str) -> None:
        if key not in self._done:
            self._done.add(key)
            self._done_count += self._planned[key]

    def _report_planned(self) -> None:
        self._cached_count = sum(self._planned[key] for key in self._cached)
        self._report_progress("planned")

    def _report_progress(self, kind: str, task: Task | None = None, result: Result | None = None) -> None:
        about = {} if task is None else {"label": task.label, "checkpoint": task.provenance["checkpoint"]}
        if task is not None:
            about["case"] = task.case["name"]
        if task is not None and kind == "starting":
            about = {"label": task.backend if task.stack == "main" else f"{task.backend}@{task.stack}"}
        if result is not None:
            about |= {"outcome": result.outcome, "reason": result.reason}
        done, cached = self._done_count, self._cached_count
        self.progress(Event(kind, **about, done=done, total=self._count, cached=cached))

    def manifest(self, started: str, seconds: dict[str, float], only: str | None = None) -> Manifest:
        """The manifest of what was captured so far, of all checkpoints or a single one."""
        checkpoints = {name: each for name, each in self.checkpoints.items() if only in (None, name)}
        return Manifest(
            parity_version=__version__,
            command=sys.argv,
            started=started,
            checkpoints=[
                CheckpointRecord(
                    name=name,
                    path=str(c.path),
                    digest=c.digest,
                    config=c.config,
                    documented_class=c.model_class,
                    unused_files=list(c.unused),
                    notices=list(c.notices),
                    file_facts=c.facts,
                )
                for name, c in checkpoints.items()
            ],
            unreadable=self.unreadable,
            options=self.options,
            not_run=self.not_run,
            environments={name: local.facts for name, local in self.local_stacks.items()},
            subjects=[target.record for target in self.targets],
            cases={name: [case.to_json() for case in self.cases.get(name, [])] for name in checkpoints},
            traces=[record for name in checkpoints for record in self.records.get(name, [])],
            seconds=seconds,
            peak_memory=self.executor.usage.peak_memory,
        )


def _oracle_can_run(everyone: Sequence[Subject], versions: Mapping[str, str]) -> None:
    """Raises CaptureError where a model is to be judged but the oracle cannot run."""
    judged = [s for s in everyone if s.role == "candidate" and find_entry(s.backend).component == "model"]
    why = cannot_run(ORACLE.backend, versions)
    if not judged or not why:
        return
    # All missing packages are reported together, so that the user installs them in one step.
    own = [s.backend for s in judged if s.stack == "main" and not find_entry(s.backend).reference]
    needed = [] if any(not cannot_run(name, versions) for name in own) else own[:1]
    words = dict.fromkeys(" ".join(find_entry(name).install for name in (ORACLE.backend, *needed)).split())
    raise CaptureError(
        f"nothing can be judged: the float64 oracle computes with PyTorch, and {why} in the environment of this "
        f"command, and no stack main is made: parity stack make main, or pip install {' '.join(words)}"
    )


def _is_judged(case: Case, targets: Sequence[Target]) -> bool:
    """Whether anything is compared on a case: not if every candidate that it applies to lacks a capability."""
    decisions = [eligibility(each.record, case) for each in targets if each.is_candidate]
    kinds = {type(each) for each in decisions}
    return Skip not in kinds or Eligible in kinds


def _oracle_first(tasks: Any) -> list[Task]:
    """The tasks of the oracle first, then the references', then the others in planned order."""
    return sorted(tasks, key=lambda task: (task.backend not in REFERENCES, task.dtype != "float64"))


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Turns SIGTERM into an exception like Ctrl-C, so that workers are ended; only the main thread can install the
    handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
