"""A conforming run directory, made once from the torch reference, and copies of it with one trace altered.

The judge is tested on what it is for: a candidate that is right everywhere but in one place. What stands in for the
libraries here is the reference itself; whether the libraries are right is for the audit to say.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from parity.backends.registry import get_backend
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import Checkpoint, inspect_checkpoint
from parity.core.case import Case
from parity.core.records import CheckpointRecord, Manifest, Report, SubjectRecord, TraceRecord, write_record
from parity.core.resources import fixture
from parity.core.subject import Subject, Variant
from parity.core.trace import Trace
from parity.judge.followup.cases import DERIVED
from parity.tools.compare.selector import Operand

CAPABILITIES = [
    "labels",
    "attentions",
    "head_masks",
    "gradients",
    "default_decoder_inputs",
    "encode_decode",
    "tuple",
    "hidden_states",
    "load",
    "float32",
    "float64",
    "cpu",
    "decode_steps",
    "cross_cache",
    "reorder_cache",
    "generate",
    "beam_search",
    "no_repeat_ngram",
    "forced_end",
    "empty_source",
    "generation_settings",
]
CLASS = "BartForConditionalGeneration"
LACKING = {"cache_output": "the reference keeps no cache"}
SUBJECTS = (
    Subject("reference-torch", dtype="float64", role="oracle"),
    Subject("file", role="file"),
    Subject("reference-torch", "eager+permuted+reversed-widths", role="noise_floor"),
    Subject("reference-flax", "eager", role="noise_floor"),
    Subject("hf-torch", "eager", role="candidate"),
)
CANDIDATE = len(SUBJECTS) - 1
Ask = Callable[[int, Case], Trace | None]
Alter = Callable[[Trace], Trace | None]
Answers = dict[tuple[int, str], Trace]


def _subject_record(subject: Subject) -> SubjectRecord:
    return SubjectRecord(
        backend=subject.backend,
        variant=subject.variant,
        stack="main",
        device="cpu",
        dtype=subject.dtype,
        role=subject.role,
        label=subject.label,
        model_class=CLASS,
        documented_class=CLASS,
        capabilities=CAPABILITIES,
        lacking=LACKING,
        environment="main",
    )


@pytest.fixture(scope="session")
def inspected() -> Checkpoint:
    return inspect_checkpoint(fixture("bart-odd"))


@pytest.fixture(scope="session")
def cases(inspected: Checkpoint) -> dict[str, Case]:
    return {case.name: case for case in standard_cases(inspected.model_spec)}


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Asks a subject a case, once; candidate and ``reference-flax`` are float32 passes of the torch reference."""
    backend, checkpoint = get_backend("reference-torch"), fixture("bart-odd")
    backend.setup(threads=1, device="cpu", cache=tmp_path_factory.mktemp("compiled"))
    sessions, known = [], {}
    for subject in SUBJECTS:
        variant = Variant.parse(subject.variant)

        def load(variant: Variant = variant, subject: Subject = subject) -> object:
            return backend.load(checkpoint, variant, device="cpu", dtype=subject.dtype, model_class=CLASS)

        model = load()
        sessions.append(Session(load, lambda model=model: model, variant, Clock()))

    def asked(index: int, case: Case) -> Trace | None:
        subject = SUBJECTS[index]
        if not _is_asked(subject, case):
            return None
        if case.operation == "tuple":
            # The reference has no tuple form; what a library with both would give.
            facts = {"dict": ["a", "b", "c"], "tuple": ["a", "b", "c"], "names": ["logits", "second", "third"]}
            return Trace(facts=facts)
        if (index, case.digest) not in known:
            known[index, case.digest] = _as_a_library(subject, perform(case, sessions[index]))
        return known[index, case.digest]

    return asked


@pytest.fixture(scope="session")
def original(cases: dict[str, Case], ask: Ask) -> dict[tuple[int, str], Trace]:
    """Traces by subject and case, before any derived one."""
    found = {(index, case.name): ask(index, case) for index in range(len(SUBJECTS)) for case in cases.values()}
    return {key: trace for key, trace in found.items() if trace is not None}


def _is_asked(subject: Subject, case: Case) -> bool:
    """Nobody generates but the oracle and the candidate; the file is loaded; some cases are the oracle's alone.

    The reference saves nothing: saving is judged on traces made by hand (``test_saving``).
    """
    if case.operation == "save":
        return False
    if subject.role not in case.notes.get("roles", (subject.role,)):
        return False
    if subject.role == "noise_floor" and case.operation.startswith("generat"):
        return False
    return subject.role != "file" or case.operation == "load"


def _as_a_library(subject: Subject, trace: Trace) -> Trace:
    """The references keep room for tokens to come; a library of the documented layout holds those fed alone."""
    if subject.role == "candidate":
        for step in trace.facts.get("steps", ()):
            step["layout"] = step["shapes"]
    return trace


@pytest.fixture
def run_directory(
    tmp_path: Path, inspected: Checkpoint, cases: dict[str, Case], original: dict[tuple[int, str], Trace], ask: Ask
) -> Callable[..., Path]:
    """Writes a run directory; ``alter`` maps ``(subject, case)`` or a candidate's case to a change of that trace.

    A change that returns None leaves the trace out; ``outcomes`` replace a trace by how asking for it ended. Derived
    cases are made from what was altered, and asked.
    """

    def write(
        alter: dict[str | tuple[int, str], Alter] | None = None,
        outcomes: dict[tuple[int, str], tuple[str, str]] | None = None,
        versions: dict[str, str] | None = None,
        subjects: list[SubjectRecord] | None = None,
    ) -> Path:
        changes = {key if isinstance(key, tuple) else (CANDIDATE, key): change for key, change in (alter or {}).items()}
        records: list[TraceRecord] = []
        everything = dict(cases)

        def keep(index: int, name: str, trace: Trace) -> None:
            outcome, reason = (outcomes or {}).get((index, name), ("captured", ""))
            path = f"traces/{index}.{name}.safetensors" if outcome == "captured" else None
            kept = changes.get((index, name), lambda trace: trace)(writable(trace))
            if kept is None:
                return
            if path:
                kept.write(tmp_path / path)
            records.append(
                TraceRecord(checkpoint="bart-odd", subject=index, case=name, outcome=outcome, path=path, reason=reason)
            )

        def manifest() -> Manifest:
            return Manifest(
                parity_version="0",
                command=["test"],
                started="2026-11-21T00:00:00+00:00",
                checkpoints=[
                    CheckpointRecord(
                        name="bart-odd",
                        path="bart-odd",
                        digest="0",
                        config=inspected.config,
                        documented_class=CLASS,
                        file_facts=inspected.facts,
                    )
                ],
                environments={"main": {"versions": versions or {"transformers": "0.1"}}},
                subjects=subjects or [_subject_record(subject) for subject in SUBJECTS],
                cases={"bart-odd": [case.to_json() for case in everything.values()]},
                traces=records,
            )

        for (index, name), trace in original.items():
            keep(index, name, trace)
        for derive in DERIVED:
            for case in derive(manifest(), tmp_path)["bart-odd"]:
                everything[case.name] = case
                for index in range(len(SUBJECTS)):
                    if (trace := ask(index, case)) is not None:
                        keep(index, case.name, trace)
        write_record(manifest(), tmp_path / "manifest.json")
        return tmp_path

    return write


def writable(trace: Trace) -> Trace:
    """A copy that may be altered."""
    arrays = {name: np.array(array) for name, array in trace.arrays.items()}
    return Trace(arrays, copy.deepcopy(trace.facts), trace.raised, dict(trace.dtypes), dict(trace.provenance))


def cells(report: Report, check: str | None = None, status: str | None = None) -> list:
    return [
        verdict
        for verdict in report.verdicts
        if (check is None or verdict.check == check) and (status is None or verdict.status == status)
    ]


def write_facts(
    folder: Path, checkpoint: Checkpoint, subjects: list[SubjectRecord], cases: list[Case], answers: Answers
) -> None:
    """A run directory of one checkpoint, of answers given as they are.

    Args:
        answers: by a subject's place and a case's name.
    """
    records, name = [], checkpoint.name
    for (index, case), trace in answers.items():
        path = f"traces/{index}.{case}.safetensors"
        trace.write(folder / path)
        records.append(TraceRecord(checkpoint=name, subject=index, case=case, outcome="captured", path=path))
    record = CheckpointRecord(
        name=name, path=name, digest="0", config=checkpoint.config, documented_class=checkpoint.model_class
    )
    manifest = Manifest(
        parity_version="0",
        command=["test"],
        started="2026-11-21T00:00:00+00:00",
        checkpoints=[record],
        environments={"main": {"versions": {"transformers": "0.1"}}},
        subjects=subjects,
        traces=records,
        cases={name: [case.to_json() for case in cases]},
    )
    write_record(manifest, folder / "manifest.json")


@pytest.fixture
def two_runs(run_directory, tmp_path):
    """A conforming run, and one with a trace of the candidate's altered."""

    def make(alter: dict):
        original = run_directory()
        shutil.copytree(original, tmp_path / "conforming")
        shutil.rmtree(original / "traces")
        altered = run_directory(alter)
        return Operand("conforming", tmp_path / "conforming", None), Operand("altered", altered, None)

    return make
