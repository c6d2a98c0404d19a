"""``parity golden record``: runs the stacks and records their traces. Nothing else writes goldens."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from parity.capture.pipeline import capture
from parity.capture.task import Event
from parity.core.options import AuditOptions
from parity.core.records import Manifest
from parity.core.resources import fixtures, goldens
from parity.core.stacks import resolve_stack
from parity.core.trace import Trace
from parity.judge.captured_run import CheckpointRun
from parity.judge.tolerance import measure
from parity.tools.golden.inject import as_golden
from parity.tools.golden.selection import LACKING, SEED, STACKS, golden_backends, golden_cases, trimmed
from parity.tools.golden.store import (
    Bundle,
    GoldenError,
    Provenance,
    Replaced,
    digest,
    file_name,
    read_bundle,
    read_index,
    write_bundle,
    write_index,
)


def record(
    checkpoints: Sequence[Path] | None = None,
    *,
    stacks: Sequence[str] = STACKS,
    because: str = "",
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> list[str]:
    """Records goldens of these stacks for these checkpoints.

    A golden with equal values is not rewritten. A golden is replaced only if no error of the new one against the
    float64 oracle is larger, or with a reason, which is recorded in the index.

    Args:
        checkpoints: fixtures; by default all of them.
        because: the reason for replacing a more accurate golden.

    Returns:
        The files written, relative to the index.

    Raises:
        GoldenError: an error would become larger and there is no reason; the golden is not written.
        StackError, CaptureError: a stack is not installed or cannot run.
    """
    for stack in stacks:
        if stack not in STACKS:
            raise GoldenError(f"--stack {stack}: goldens are recorded for {', '.join(STACKS)}")
    written = []
    for stack in stacks:
        with tempfile.TemporaryDirectory(prefix="parity-golden-") as folder:
            offered = resolve_stack(stack).backends
            manifest = capture(
                list(checkpoints or fixtures()),
                AuditOptions(
                    out=Path(folder),
                    cache=cache,
                    backends=golden_backends(offered),
                    stacks=(stack,),
                    cases=golden_cases,
                    jobs=jobs,
                ),
                progress=progress,
            )
            written += _write(manifest, Path(folder), stack, because)
    return written


def _write(manifest: Manifest, folder: Path, stack: str, because: str) -> Iterator[str]:
    """Writes changed files, and the index after each of them, so that both always agree."""
    for checkpoint in manifest.checkpoints:
        run, name, index = CheckpointRun(folder, manifest, checkpoint), file_name(stack, checkpoint.name), read_index()
        bundle = _bundle(run, stack)
        content = bundle.to_bytes()
        new = _provenance(manifest, stack, checkpoint.digest, content)
        if known := index.files.get(name):
            old = read_bundle(name, known)
            comparable = (known.checkpoint, old.cases) == (checkpoint.digest, bundle.cases)
            if comparable and known.versions == new.versions and _same(old.traces, bundle.traces):
                continue
            # Traces of other inputs or of another checkpoint are not compared.
            farther = list(_farther(run, old, bundle)) if comparable else []
            new = new.model_copy(update={"replaced": [*known.replaced, *_replaced(name, farther, because)]})
        write_bundle(name, content)
        index.files[name] = new
        write_index(index)
        yield name


def _replaced(name: str, farther: list[str], because: str) -> list[Replaced]:
    """The index entry for replacing a more accurate golden.

    Raises:
        GoldenError: there is no reason.
    """
    if farther and not because:
        more = f" and {len(farther) - 1} more" if len(farther) > 1 else ""
        raise GoldenError(
            f"{goldens() / name}: less accurate than the recorded golden: {farther[0]}{more}; "
            "--reason REASON replaces it"
        )
    return [Replaced(date=_now(), because=because, farther=farther)] if farther else []


def _bundle(run: CheckpointRun, stack: str) -> Bundle:
    traces: dict[tuple[str, str, str], Trace] = {}
    subjects = []
    if lost := next((record for record in run.records.values() if record.outcome != "captured"), None):
        who = run.manifest.subjects[lost.subject].label
        raise GoldenError(f"{run.checkpoint.name}: {who} gave no answer to {lost.case}: {lost.outcome}: {lost.reason}")
    for index, subject in run.subjects("candidate"):
        own = {case: trace for case in run.cases if (trace := run.trace(index, case)) is not None}
        if own:
            recorded = {case: _own(trimmed(trace, run.model_spec)) for case, trace in own.items()}
            traces |= {(subject.backend, subject.variant, case): trace for case, trace in recorded.items()}
            subjects.append(subject.model_copy(update=as_golden(subject, LACKING, list(recorded))))
    environment = run.manifest.environments[stack]
    facts = {name: environment[name] for name in ("python", "versions", "cpu", "os") if name in environment}
    cases = {name: case.digest for name, case in run.cases.items()}
    return Bundle(stack, run.checkpoint.name, facts, subjects, cases, traces)


OF_ALL = ("case", "case_digest", "key", "sources", "parity_sources", "device", "threads")
"""Fields of a trace's provenance that are recorded for each trace."""


def _own(trace: Trace) -> Trace:
    provenance = {name: trace.provenance[name] for name in OF_ALL if name in trace.provenance}
    return Trace(dict(trace.arrays), trace.facts, trace.raised, trace.dtypes, provenance)


def _provenance(manifest: Manifest, stack: str, checkpoint: str, content: bytes) -> Provenance:
    facts: dict[str, Any] = manifest.environments[stack]
    versions = {name: version for name, version in sorted(facts["versions"].items()) if version}
    return Provenance(
        sha256=digest(content),
        checkpoint=checkpoint,
        recorded=_now(),
        command=["parity", *sys.argv[1:]],
        device="cpu",
        seed=SEED,
        python=facts["python"],
        cpu=facts["cpu"],
        versions=versions,
    )


def _same(old: Mapping[Any, Trace], new: Mapping[Any, Trace]) -> bool:
    """Whether all traces are equal, bit for bit."""
    return old.keys() == new.keys() and all(
        one.raised == new[key].raised
        and one.arrays.keys() == new[key].arrays.keys()
        and all(
            np.array_equal(array, new[key].arrays[name], equal_nan=array.dtype.kind == "f")
            for name, array in one.arrays.items()
        )
        for key, one in old.items()
    )


def _farther(run: CheckpointRun, old: Bundle, new: Bundle) -> Iterator[str]:
    """Every tensor whose error is larger in the new golden, with both errors, and every missing trace."""
    for key, before in old.traces.items():
        about, after, oracle = " ".join((key[0], key[2])), new.traces.get(key), run.oracle(key[2])
        if after is None or (after.raised is not None and before.raised is None):
            yield f"{about}: the trace is missing"
        elif oracle is not None and after.raised is None and before.raised is None:
            specs = {spec.name: spec for spec in run.specs(key[2])}
            for name, array in before.arrays.items():
                if name not in oracle.arrays:
                    continue
                scale = run.error_scale(key[2], specs[name]) if name in specs else None
                errors = [_error(each, oracle.arrays[name], scale) for each in (array, after.arrays.get(name))]
                if not errors[1] <= errors[0]:
                    yield f"{about} {name}: {errors[0]:.2g} → {errors[1]:.2g}"


def _error(given: np.ndarray | None, truth: np.ndarray, scale: float | None) -> float:
    """The error relative to the tensor's scale; for tokens the share that differs; infinite for a missing tensor."""
    if given is None or given.shape != truth.shape:
        return float("inf")
    if truth.dtype.kind in "iu":
        return float(np.mean(given != truth))
    return measure(given, truth, scale).slice


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
