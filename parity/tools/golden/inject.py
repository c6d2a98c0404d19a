"""Adds goldens as subjects to a run: their traces are written beside the captured ones and listed in the manifest.

A run is captured first; follow-up cases then compute the oracle's results for the texts in the goldens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.capture.run_directory import trace_name
from parity.core.backends import find_entry
from parity.core.case import Case
from parity.core.records import CheckpointRecord, Manifest, SubjectRecord, TraceRecord
from parity.core.resources import goldens
from parity.core.subject import Subject
from parity.tools.golden.selection import STACKS
from parity.tools.golden.store import Bundle, GoldenError, read_bundle, read_index

Derive = Callable[[Manifest, Path], Mapping[str, list[Case]]]


def golden_stack(name: str) -> str:
    """The name in a run of a stack whose traces are goldens: ``docs-4.37 (golden)``."""
    return f"{name} (golden)"


def find_bundles(checkpoints: Mapping[str, str], stacks: Sequence[str]) -> dict[str, list[Bundle]]:
    """The goldens of these stacks for each checkpoint.

    Args:
        checkpoints: digests by name; a golden is found by the digest, whatever the directory is called.

    Raises:
        GoldenError: goldens are not recorded for a stack, there is none for a checkpoint, or a golden was altered.
    """
    for stack in stacks:
        if stack not in STACKS:
            raise GoldenError(f"--golden {stack}: there are goldens of {', '.join(STACKS)}")
    index = read_index()
    found: dict[str, list[Bundle]] = {}
    for name, digest in checkpoints.items():
        for stack in stacks:
            of_stack = {file: known for file, known in index.files.items() if file.startswith(f"{stack}/")}
            file = next((file for file, known in of_stack.items() if known.checkpoint == digest), None)
            if file is None:
                raise GoldenError(f"{goldens()}: no golden of {stack} about {name}, as it is now: golden record")
            found.setdefault(name, []).append(read_bundle(file, of_stack[file]))
    return found


def with_goldens(derive: Derive, bundles: Mapping[str, list[Bundle]]) -> Derive:
    """The same derivation, from a manifest that includes the goldens."""
    return lambda manifest, out: derive(joined(manifest, out, bundles), out)


def joined(manifest: Manifest, out: Path, bundles: Mapping[str, list[Bundle]]) -> Manifest:
    """The manifest with the goldens after all other subjects; their traces are written.

    Raises:
        GoldenError: a golden was recorded for another case than the run's.
    """
    subjects, records = list(manifest.subjects), list(manifest.traces)
    environments = dict(manifest.environments)
    checkpoints = {checkpoint.name: checkpoint for checkpoint in manifest.checkpoints}
    # A subject has the same index in the manifest of one checkpoint as in that of all.
    for name, bundle in [(name, bundle) for name, several in bundles.items() for bundle in several]:
        if name in checkpoints:
            _same_questions(bundle, manifest, checkpoints[name])
        environments.setdefault(golden_stack(bundle.stack), bundle.environment)
        for stored in bundle.subjects:
            # Fields that follow from the backend's name are not stored with its traces.
            prefix = find_entry(stored.backend).class_prefix
            subject = stored.model_copy(update={"class_prefix": prefix})
            index = _index_of(subjects, subject)
            if name in checkpoints:
                records += _records(bundle, subject, index, name, out)
    return manifest.model_copy(update={"subjects": subjects, "traces": records, "environments": environments})


def _same_questions(bundle: Bundle, manifest: Manifest, checkpoint: CheckpointRecord) -> None:
    if any(subject.documented_class != checkpoint.documented_class for subject in bundle.subjects):
        raise GoldenError(f"{goldens()}: {checkpoint.name} is not kept as a {checkpoint.documented_class}")
    digests = {case["name"]: Case.from_json(case).digest for case in manifest.cases[checkpoint.name]}
    for name, digest in bundle.cases.items():
        if digests.get(name) != digest:
            why = "this run does not ask" if name not in digests else "this run asks of other inputs"
            raise GoldenError(
                f"{goldens()}: the golden of {bundle.stack} about {checkpoint.name} is of {name}, which {why}"
            )


def _index_of(subjects: list[SubjectRecord], subject: SubjectRecord) -> int:
    """The subject's index, appending it if it is new; checkpoints of one class share it."""
    same = (index for index, known in enumerate(subjects) if known == subject)
    index = next(same, None)
    if index is None:
        subjects.append(subject)
        index = len(subjects) - 1
    return index


def _records(bundle: Bundle, subject: SubjectRecord, index: int, checkpoint: str, out: Path) -> Iterator[TraceRecord]:
    who = Subject(subject.backend, subject.variant, subject.stack, subject.device, subject.dtype)
    for (backend, variant, case), trace in bundle.traces.items():
        if (backend, variant) == (subject.backend, subject.variant):
            path = f"traces/{trace_name(checkpoint, who, case)}"
            trace.write(out / path)
            yield TraceRecord(
                checkpoint=checkpoint,
                subject=index,
                case=case,
                outcome="captured",
                path=path,
                cached=True,
                digest=trace.digest,
            )


def as_golden(subject: SubjectRecord, lacking: Mapping[str, str], cases: list[str]) -> dict[str, Any]:
    """The fields in which the record of a golden differs from that of the captured subject."""
    stack = golden_stack(subject.stack)
    who = Subject(subject.backend, subject.variant, stack, subject.device, subject.dtype)
    return {
        "stack": stack,
        "environment": stack,
        "label": who.label,
        "role": "candidate",
        "kept": cases,
        "capabilities": [name for name in subject.capabilities if name not in lacking],
        "lacking": {**subject.lacking, **lacking},
    }
