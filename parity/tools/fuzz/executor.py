"""Runs the cases of one checkpoint in this process, for judging by the checks of an audit.

An audit starts a process for each backend and writes traces to files; for a model of a few thousand parameters both
take longer than the computation. Here the same adapters, operations, checks and known issues are used in memory. If a
library crashes the process, the search ends; failures found until then are on disk.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from parity.backends.registry import get_backend
from parity.capture.plan import Target, target_for
from parity.capture.worker.exceptions import is_ours, raised
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.checkpoint.inspection import Checkpoint
from parity.core.backends import audited, find_entry
from parity.core.case import Case
from parity.core.records import CheckpointRecord, Manifest, TraceRecord, Verdict
from parity.core.stacks import SWITCHES
from parity.core.subject import FILE, FLAX, ORACLE, TORCH, Subject, Variant, noise_floor_ensemble
from parity.core.trace import Trace
from parity.core.version import __version__
from parity.judge.captured_run import CheckpointRun
from parity.judge.followup.cases import OF_TEXTS

AGAIN = {"eager+1-thread"}
"""Members of the noise floor that are identical to another one on a single thread."""


@dataclass(frozen=True)
class Plan:
    """The subjects of every example.

    Attributes:
        candidates: the judged subjects, in float32 and in the running interpreter.
        flax: whether the Flax reference is in the ensemble. XLA compiles for each new shape, which takes seconds.
    """

    candidates: tuple[Subject, ...]
    flax: bool = False

    def only(self, backend: str, variant: str) -> Plan:
        """The same plan with one candidate."""
        named = tuple(each for each in self.candidates if (each.backend, each.variant) == (backend, variant))
        return replace(self, candidates=named)

    def subjects(self) -> list[Subject]:
        """The oracle, the file, the ensemble, then the candidates."""
        references = (TORCH, FLAX) if self.flax else (TORCH,)
        original = [m for m in noise_floor_ensemble("cpu", "float32", references=references) if m.variant not in AGAIN]
        return [ORACLE, FILE, *original, *self.candidates]


class Process:
    """The backends of this process, each set up once, with the last model of each variant.

    Args:
        cache: the directory of XLA's compilation cache.
    """

    def __init__(self, backends: Iterable[str], cache: Path) -> None:
        names = list(dict.fromkeys(backends))
        libraries = [name for name in names if find_entry(name).class_prefix is not None]
        if any(find_entry(name).framework != "torch" for name in libraries):
            # Each adapter restricts the library to its own framework; the variables are read on import.
            os.environ.update(dict.fromkeys(SWITCHES, "AUTO"), TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
            import transformers  # noqa: F401
        self._backends = {name: get_backend(name) for name in names}
        for backend in self._backends.values():
            # Models this small do not gain from threads.
            backend.setup(threads=1, device="cpu", cache=cache)
        if libraries:
            _quiet()
        self._models: dict[tuple[Any, ...], Any] = {}

    def answer(self, subject: Subject, model_class: str, checkpoint: Path, case: Case) -> Trace:
        """Runs one case on a subject.

        Returns:
            The trace, which may hold an exception of the library.

        Raises:
            Exception: a bug of the harness (``parity.capture.worker.exceptions``).
        """
        key = (subject.backend, subject.variant, subject.dtype, checkpoint)
        variant, loading = Variant.parse(subject.variant), [False]

        def load() -> Any:
            loading[0] = True
            model = self._backends[subject.backend].load(
                checkpoint, variant, device=subject.device, dtype=subject.dtype, model_class=model_class
            )
            loading[0] = False
            self._models = {known: each for known, each in self._models.items() if known[3] == checkpoint}
            self._models[key] = model
            return model

        session = Session(
            load,
            lambda: self._models.get(key) or load(),
            variant,
            Clock(),
            model_class=model_class,
            checkpoint=checkpoint,
        )
        try:
            return perform(case, session)
        except Exception as error:
            if is_ours(error):
                raise
            return Trace(raised=raised(error, "load" if loading[0] else "call"))


def _quiet() -> None:
    """Hides repeated warnings of the library; adapters read those that matter."""
    import transformers

    transformers.utils.logging.get_logger()
    for handler in logging.getLogger("transformers").handlers:
        handler.setLevel(logging.ERROR)


class Live(CheckpointRun):
    """A run whose traces are in memory."""

    def __init__(self, manifest: Manifest, cases: dict[str, Case]) -> None:
        super().__init__(Path(), manifest, manifest.checkpoints[0])
        self.cases = cases

    def put(self, subject: int, case: str, trace: Trace | None, reason: str = "") -> None:
        """Stores a trace; without one, the reason of the harness error."""
        outcome = "captured" if trace is not None else "harness-error"
        self.records[subject, case] = TraceRecord(
            checkpoint=self.checkpoint.name, subject=subject, case=case, outcome=outcome, reason=reason
        )
        if trace is not None:
            self._traces[subject, case] = trace

    def trace(self, subject: int, case: str) -> Trace | None:
        return self._traces.get((subject, case))

    def again(self) -> Live:
        """The same traces without cached measurements, which were made on fewer traces."""
        fresh = Live(self.manifest, self.cases)
        fresh.records, fresh._traces = self.records, self._traces
        return fresh


def capture_live(process: Process, plan: Plan, checkpoint: Checkpoint, cases: Sequence[Case]) -> Live:
    """Runs the cases, and the follow-up cases of generated texts, on every subject of a plan."""
    targets = [target_for(subject, versions(), checkpoint.model_spec.kind) for subject in plan.subjects()]
    run = Live(_manifest(checkpoint, targets), {})
    known: dict[tuple[str, ...], Trace] = {}
    _put(process, run, targets, checkpoint, cases, known)
    for derive in OF_TEXTS if any(case.operation == "generate" for case in cases) else ():
        run = run.again()
        _put(process, run, targets, checkpoint, list(derive(run)), known)
    return run.again()


def _put(
    process: Process,
    run: Live,
    targets: Sequence[Target],
    checkpoint: Checkpoint,
    cases: Iterable[Case],
    known: dict[tuple[str, ...], Trace],
) -> None:
    """Runs each case on its subjects. Two subjects of one implementation share the trace."""
    for case in cases:
        run.cases[case.name] = case
        for index, each in enumerate(targets):
            if not each.is_requested(case):
                continue
            subject = each.subject
            key = (subject.backend, subject.variant, subject.dtype, case.digest)
            try:
                if key not in known:
                    known[key] = process.answer(subject, checkpoint.model_class, checkpoint.path, case)
            except Exception as error:
                run.put(index, case.name, None, "".join(traceback.format_exception(error))[-2000:])
            else:
                run.put(index, case.name, known[key])


def is_alarm(verdict: Verdict) -> bool:
    """Whether a verdict is a failure or an error."""
    return verdict.status in ("fail", "error")


@cache
def versions() -> dict[str, str]:
    """The versions of everything that a backend of the main stack depends on, by distribution."""
    names = {name for entry in map(find_entry, audited()) if entry.component == "model" for name in entry.distributions}
    return {name: version for name in sorted(names) if (version := _version(name))}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _manifest(checkpoint: Checkpoint, targets: Sequence[Target]) -> Manifest:
    record = CheckpointRecord(
        name=checkpoint.name,
        path=str(checkpoint.path),
        digest=checkpoint.digest,
        config=checkpoint.config,
        documented_class=checkpoint.model_class,
        file_facts=checkpoint.facts,
    )
    subjects = [each.record for each in targets]
    return Manifest(
        parity_version=__version__,
        command=["parity", "fuzz"],
        started="",
        checkpoints=[record],
        environments={"main": {"versions": versions()}},
        subjects=subjects,
        cases={checkpoint.name: []},
        traces=[],
    )
