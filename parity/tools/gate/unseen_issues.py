"""Finds known issues that the baseline does not confirm, for the project's own gate.

An audit never fails because a known issue does not appear. In the baseline of all fixtures and stacks that is a sign
that the entry matches too much, or that the comparison is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from parity.core.records import CheckpointRecord, SubjectRecord
from parity.core.subject import Subject
from parity.judge.known_issues import Entry
from parity.tools.gate.baseline import Baseline
from parity.tools.gate.report_digest import Cell


def unshown(
    baseline: Baseline, entries: tuple[Entry, ...], checkpoints: Mapping[str, CheckpointRecord]
) -> Iterator[tuple[Entry, Cell]]:
    """Cells that passed although an entry without ``sometimes`` covers them.

    Args:
        baseline: of runs on these checkpoints; its last run has the versions of each stack.
        checkpoints: by name; other checkpoints of the baseline are ignored.
    """
    environments = baseline.runs[-1].environments
    always_shown = [entry for entry in entries if not entry.sometimes]
    for cell, row in baseline.rows():
        if row.status != "pass" or cell.checkpoint not in checkpoints:
            continue
        record = checkpoints[cell.checkpoint]
        subject = subject_of(cell, record)
        versions = environments.get(subject.stack, {})
        for entry in always_shown:
            if entry.covers(cell.check, cell.case, subject, record, versions):
                yield entry, cell


def never_met(baseline: Baseline, entries: tuple[Entry, ...]) -> list[str]:
    """Ids of entries that explain no cell of the baseline."""
    met = {row.entry for _, row in baseline.rows()}
    return [entry.id for entry in entries if entry.id not in met]


def subject_of(cell: Cell, checkpoint: CheckpointRecord) -> SubjectRecord:
    """The subject of a baseline cell, with the fields that entries match."""
    label, device, dtype, model_class = cell.subject.split(" ")
    name, _, stack = label.partition("@")
    backend, _, variant = name.partition("/")
    subject = Subject(backend, variant or "eager", stack or "main", device, dtype, "candidate")
    return SubjectRecord(
        backend=subject.backend,
        variant=subject.variant,
        stack=subject.stack,
        device=device,
        dtype=dtype,
        role="candidate",
        label=label,
        model_class=model_class,
        documented_class=checkpoint.documented_class,
        capabilities=[],
        environment=subject.stack,
    )
