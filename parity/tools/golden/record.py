"""``parity golden record``: asks the stacks, and keeps their answers; nothing else writes a golden."""

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
    """Records goldens of these stacks about these checkpoints.

    A golden is replaced only where no value of the new one is farther from the float64 oracle; or for a reason, which
    is kept in the index. One whose values are the same is left as it is.

    Args:
        checkpoints: fixtures; by default all of them.
        because: the reason.

    Returns:
        The files written, relative to the index.

    Raises:
        GoldenError: a new value is farther from the oracle and no reason is given; then nothing of it is written.
        StackError, CaptureError: a stack is not there or cannot be asked.
    """
    for stack in stacks:
        if stack not in STACKS:
            raise GoldenError(f"--stack {stack}: goldens are kept of {', '.join(STACKS)}")
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
            written += _keep(manifest, Path(folder), stack, because)
    return written


def _keep(manifest: Manifest, folder: Path, stack: str, because: str) -> Iterator[str]:
    """Writes what changed; the index with each file, so that neither is ever without the other."""
    for checkpoint in manifest.checkpoints:
        run, name, index = CheckpointRun(folder, manifest, checkpoint), file_name(stack, checkpoint.name), read_index()
        bundle = _bundle(run, stack)
        content = bundle.to_bytes()
        new = _provenance(manifest, stack, checkpoint.digest, content)
        if known := index.files.get(name):
            old = read_bundle(name, known)
            asked = (known.checkpoint, old.cases) == (checkpoint.digest, bundle.cases)
            if asked and known.versions == new.versions and _same(old.traces, bundle.traces):
                continue
            # Answers to another question, of another checkpoint say, are not held against each other.
            farther = list(_farther(run, old, bundle)) if asked else []
            new = new.model_copy(update={"replaced": [*known.replaced, *_replaced(name, farther, because)]})
        write_bundle(name, content)
        index.files[name] = new
        write_index(index)
        yield name


def _replaced(name: str, farther: list[str], because: str) -> list[Replaced]:
    """What the index keeps of a golden that was nearer to the oracle.

    Raises:
        GoldenError: no reason was given.
    """
    if farther and not because:
        more = f" and {len(farther) - 1} more" if len(farther) > 1 else ""
        raise GoldenError(
            f"{goldens() / name}: farther from the oracle than the one kept: {farther[0]}{more}; "
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
            kept = {case: _own(trimmed(trace, run.model_spec)) for case, trace in own.items()}
            traces |= {(subject.backend, subject.variant, case): trace for case, trace in kept.items()}
            subjects.append(subject.model_copy(update=as_golden(subject, LACKING, list(kept))))
    environment = run.manifest.environments[stack]
    facts = {name: environment[name] for name in ("python", "versions", "cpu", "os") if name in environment}
    cases = {name: case.digest for name, case in run.cases.items()}
    return Bundle(stack, run.checkpoint.name, facts, subjects, cases, traces)


OF_ALL = ("case", "case_digest", "key", "sources", "parity_sources", "device", "threads")
"""Of a trace's provenance, what the file does not say for all of them."""


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
    """Whether all that was answered is the same, bit for bit."""
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
    """Every value that the new one has farther from the oracle, or no more, with both errors."""
    for key, before in old.traces.items():
        about, after, oracle = " ".join((key[0], key[2])), new.traces.get(key), run.oracle(key[2])
        if after is None or (after.raised is not None and before.raised is None):
            yield f"{about}: no answer any more"
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
    """Relative to the tensor's scale; of tokens the share that is another; infinite where there is no such value."""
    if given is None or given.shape != truth.shape:
        return float("inf")
    if truth.dtype.kind in "iu":
        return float(np.mean(given != truth))
    return measure(given, truth, scale).slice


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
