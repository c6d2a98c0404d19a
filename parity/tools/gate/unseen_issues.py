"""Entries of the list of known issues that the baseline no longer bears out: what the project's own gate holds the list
of known issues to.

An audit of somebody's checkpoint never fails because a known divergence did not show. In the baseline of all fixtures
and stacks it is a sign that the entry is too wide, or that the comparison is broken.
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
    """Cells that passed although an entry without ``sometimes`` says that they diverge.

    Args:
        baseline: of runs on these checkpoints; its last run says which versions each stack has.
        checkpoints: by name; those that the baseline names and that are not here are left out.
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
    """Ids of entries that no cell of the baseline is explained by."""
    met = {row.entry for _, row in baseline.rows()}
    return [entry.id for entry in entries if entry.id not in met]


def subject_of(cell: Cell, checkpoint: CheckpointRecord) -> SubjectRecord:
    """Who a row of a baseline is about, as far as an entry looks at it."""
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
