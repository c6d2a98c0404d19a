"""Results of fleets made by hand, and a place to run tasks that answers as a test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity.core.options import AuditOptions
from parity.core.records import Totals
from parity.fleet.audit_one import Asked
from parity.fleet.folder import Folder
from parity.fleet.on_ray import Lost
from parity.fleet.outcome import Answer, Outcome
from parity.fleet.targets import Job, Target

OPTIONS = AuditOptions(backends=["hf-torch/eager"], checks=["NUM01"])


def row(verdict: str = "pass", **fields: Any) -> dict[str, Any]:
    """A cell of ``hf-torch`` on ``owner/model``; ``fields`` override any of it."""
    usual = {
        "checkpoint": "owner/model",
        "revision": "",
        "class": "BartForConditionalGeneration",
        "check": "NUM01",
        "case": "forward",
        "stack": "main",
        "backend": "hf-torch",
        "variant": "eager",
        "device": "cpu",
        "dtype": "float32",
        "verdict": verdict,
        "ratio": 0.25,
        "first_divergence": None,
        "known_issue": None,
        "reason": "",
        "versions": '{"torch": "2.13.0"}',
        "seconds": 0.5,
    }
    return {**usual, **fields}


def answer(job: Job, *rows: dict[str, Any], **fields: Any) -> Answer:
    """An audit with these rows; one that passes without any."""
    rows = tuple({**each, "checkpoint": job.target.source} for each in rows or (row(),))
    counts: dict[str, int] = {}
    for each in rows:
        counts[each["verdict"]] = counts.get(each["verdict"], 0) + 1
    usual: dict[str, Any] = {
        "name": job.name,
        "checkpoint": job.target.source,
        "revision": job.target.revision,
        "device": job.device,
        "state": "audited",
        "model_class": "BartForConditionalGeneration",
        "digest": "0" * 64,
        "cells": len(rows),
        "totals": Totals.model_validate(counts),
        "versions": {"main": {"torch": "2.13.0"}},
        "seconds": 2.0,
        "node": "here",
    }
    files = {"report.json": b"{}", "report.html": b"<!DOCTYPE html>"}
    return Answer("audited", Outcome(**{**usual, **fields}), list(rows), files)


def refused(job: Job, kind: Any, reason: str) -> Answer:
    """An answer of another kind."""
    state = "unreadable" if kind == "unreadable" else "set aside"
    outcome = answer(job).outcome.model_copy(
        update={"state": state, "reason": reason, "cells": 0, "totals": Totals.model_validate({})}
    )
    return Answer(kind, outcome)


def written(path: str | Path, rows: dict[str, Sequence[dict[str, Any]]], *others: Answer) -> Folder:
    """The folder of a fleet with these rows by checkpoint."""
    folder = Folder(path)
    folder.begin({"checks": ["NUM01"]}, resume=False)
    for source, cells in rows.items():
        folder.write(answer(Job(Target(source)), *cells))
    for each in others:
        folder.write(each)
    return folder


class Scripted:
    """A cluster that answers from a script: by checkpoint, what each try returns.

    A try that is absent from the script is an audit that passes. ``KeyboardInterrupt`` is raised.
    """

    dashboard = ""

    def __init__(
        self,
        script: dict[str, Any] | None = None,
        *,
        slots: int = 2,
        most_memory: int = 1 << 40,
        gpu_types: tuple[str, ...] = ("",),
    ):
        self.script: dict[str, list[Any]] = {source: list(answers) for source, answers in (script or {}).items()}
        self.slots, self.most_memory, self.gpu_types = slots, most_memory, gpu_types
        self.submitted: list[tuple[str, int]] = []
        self._running: list[tuple[Job, int]] = []

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *error: object) -> None:
        self._running.clear()

    def share(self, asked: Asked) -> None:
        self.asked = asked

    def submit(self, job: Job, memory: int) -> None:
        self.submitted.append((job.target.source, memory))
        self._running.append((job, memory))

    def wait(self, seconds: float) -> list[tuple[Job, Answer | Lost]]:
        job, _ = self._running.pop(0)
        planned = self.script.get(job.target.source)
        given = planned.pop(0) if planned else answer(job)
        if given is KeyboardInterrupt:
            raise KeyboardInterrupt
        return [(job, given if isinstance(given, Answer | Lost) else given(job))]

    def tries(self, source: str) -> list[int]:
        """The memory of each try of a checkpoint."""
        return [memory for name, memory in self.submitted if name == source]
