"""Measures errors of conforming backends against the oracle, one row per tensor, chunk by chunk, so that an interrupted
run can continue."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from parity.capture.pipeline import capture
from parity.cases.standard import standard_cases
from parity.core.case import Case
from parity.core.model_spec import ModelSpec
from parity.core.records import SubjectRecord
from parity.core.tensors import TensorSpec
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.judge.followup.cases import NOISE_FLOOR_TEXT, scores
from parity.judge.known_issues import entries
from parity.judge.tolerance import Measured
from parity.tools.calibrate.draw import rows
from parity.tools.calibrate.plan import Chunk, is_requested

MEASURED = ("forward", "encode_decode", "gradients", "decode_steps", "score")
"""Operations whose results are tensors with a tolerance."""

ABOUT_NUMBERS = ("numbers", "losses", "attention", "invariance", "cache", "generation", "sampling", "training")
"""Check groups whose known issues affect numbers; known issues of the others (fields, loading) do not."""


@dataclass(frozen=True)
class Row:
    """One comparison with the oracle: errors and noise floors, without factors and floors."""

    checkpoint: str
    subject: str
    """The candidate's label."""
    dtype: str
    case: str
    tensor: str
    kind: str
    size: int
    slices: int
    slice: float
    slice_noise_floor: float
    element: float
    element_noise_floor: float


def measure_all(todo: list[Chunk], into: Path, jobs: int, report: Callable[[str], None]) -> None:
    """Measures the chunks that have no file in ``into`` yet, ``jobs`` at a time."""
    wait_passively()
    into.mkdir(parents=True, exist_ok=True)
    todo = [chunk for chunk in todo if not _file(into, chunk).exists()]
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(measure_chunk, chunk, into): chunk for chunk in todo}
        for number, done in enumerate(as_completed(running), start=1):
            report(f"{number}/{len(todo)} {running[done].name}: {done.result()} comparisons")


def wait_passively() -> None:
    """Makes threads wait passively: spinning threads slow down other processes. The split of sums does not change."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def measure_chunk(chunk: Chunk, into: Path) -> int:
    """Captures and measures one chunk, and removes everything but its file; returns the number of comparisons in it."""
    scratch = Path(tempfile.mkdtemp(prefix="parity-calibration-"))
    try:
        capture(
            chunk.write(scratch / "random"),
            chunk.options(scratch, _cases),
            derive=[scores],
        )
        _, runs = CheckpointRun.open_all(scratch / "run")
        measured = [row for run in runs for row in rows_of(run)]
        write(_file(into, chunk), measured)
        return len(measured)
    finally:
        shutil.rmtree(scratch)


def _cases(model_spec: ModelSpec, _: Any, generation: dict[str, Any]) -> list[Case]:
    """The cases whose results are tensors, and the case of the text to be scored, which only the oracle generates."""
    cases = standard_cases(model_spec, rows(model_spec.raw), generation)
    text = [replace(case, notes={**case.notes, "roles": ["oracle"]}) for case in cases if case.name == NOISE_FLOOR_TEXT]
    return [case for case in cases if case.operation in MEASURED] + text


def rows_of(run: CheckpointRun) -> Iterator[Row]:
    """Every candidate's errors, tensor by tensor, over all cases for which the oracle has a result."""
    for case in run.cases.values():
        if case.operation not in MEASURED or run.oracle(case.name) is None:
            continue
        found = run.errors(case.name)
        for index, subject in run.subjects("candidate"):
            wrong = known_to_be_wrong(run, subject, case)
            for spec in found.specs:
                measured = found.errors.get(index, {}).get(spec.name)
                known = any(fnmatchcase(spec.name, pattern) for pattern in wrong)
                if isinstance(measured, Measured) and not known and spec.name not in case.undefined:
                    yield from _row(run, subject, case.name, spec, measured)


def known_to_be_wrong(run: CheckpointRun, subject: SubjectRecord, case: Case) -> set[str]:
    """Patterns of the tensors that are wrong in this trace according to the list of known issues, also where the error
    is small enough to pass.

    An entry that depends on the config is applied to every case with that config: its cases are only those where the
    error was observed.
    """
    versions = run.manifest.environments[subject.environment]["versions"]
    patterns: set[str] = set()
    for entry in entries():
        checks = [CHECKS[name] for name in entry.checks if CHECKS[name].group in ABOUT_NUMBERS]
        for check in checks:
            concerned = entry.config or entry.unless or case.name in check.cases
            if concerned and entry.covers(check.id, case.name, subject, run.checkpoint, versions):
                patterns |= set(entry.tensors or ["*"])
    return patterns


def _row(run: CheckpointRun, subject: SubjectRecord, case: str, spec: TensorSpec, measured: Measured) -> Iterator[Row]:
    noise_floor = run.noise_floor(subject).error(spec.name, subject.backend)
    if noise_floor is not None:
        yield Row(
            run.checkpoint.name,
            subject.label,
            subject.dtype,
            case,
            spec.name,
            spec.kind,
            measured.size,
            measured.slices.size,
            measured.slice,
            noise_floor.slice,
            measured.element,
            noise_floor.element,
        )


def _file(into: Path, chunk: Chunk) -> Path:
    return into / f"{chunk.name}.csv.gz"


def write(path: Path, rows: list[Row]) -> None:
    """Writes the file atomically."""
    part = path.with_suffix(".part")
    with gzip.open(part, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Row))
        writer.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in asdict(row).values()] for row in rows)
    part.rename(path)


def digest(directory: Path) -> str:
    """sha256 over the names and uncompressed contents of all measurements in a directory.

    The rows themselves are not stored in the repository: the digest shows whether rows that were measured again, or
    stored elsewhere, are those from which ``calibration.toml`` was computed.
    """
    found = hashlib.sha256()
    for path in sorted(directory.glob("*.csv.gz")):
        found.update(f"{path.name}\0".encode() + gzip.decompress(path.read_bytes()))
    return found.hexdigest()


def read(directory: Path) -> dict[str, np.ndarray]:
    """All measurements in a directory, as columns named like the fields of ``Row``; ``chunk`` is the file's name."""
    columns: dict[str, list[str]] = {field.name: [] for field in fields(Row)} | {"chunk": []}
    for path in sorted(directory.glob("*.csv.gz")):
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    columns[name].append(value)
                columns["chunk"].append(path.name)
    kinds = {field.name: {"int": int, "float": float}.get(str(field.type), str) for field in fields(Row)}
    return {name: np.array(values, kinds.get(name, str)) for name, values in columns.items()}


def still_drawn(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of checkpoints that are still part of the plan: some that are excluded now may have been measured
    before."""
    names = np.char.add(np.char.add(found["chunk"], "-"), found["checkpoint"])
    unique, index = np.unique(names, return_inverse=True)
    chosen = np.array([is_requested(*(int(name.split("-")[position]) for position in (0, -2, -1))) for name in unique])[
        index
    ]
    return {name: column[chosen] for name, column in found.items()}
