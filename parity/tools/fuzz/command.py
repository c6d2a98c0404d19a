"""``parity fuzz``: selects backends, stores failures, and replays them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from parity.capture.cache import default_cache
from parity.capture.task import CaptureError
from parity.core.backends import find_entry, library_backends
from parity.core.records import Verdict, format_validation_error
from parity.core.subject import Subject
from parity.judge.known_issues import NoSuchEntry, entries
from parity.tools.fuzz import FuzzError
from parity.tools.fuzz.example import AUDITED, Example
from parity.tools.fuzz.executor import Plan, Process, is_alarm, versions
from parity.tools.fuzz.script import NoScript, script
from parity.tools.fuzz.search import Failure, Found, Search, judge_example
from reference.config import config_of
from reference.errors import CheckpointError, brief
from reference.files import parse_json, read_bytes


def plan_of(backends: Sequence[str] | None) -> Plan:
    """The plan for backends named as in ``parity audit --backend``.

    Raises:
        CaptureError: there is no backend of this name, it has no such variant, or it does not load weights.
    """
    found = []
    # By default PyTorch's classes: a new shape costs them no compilation.
    for text in backends or library_backends(framework="torch"):
        name, _, variant = text.partition("/")
        try:
            entry = find_entry(name)
        except KeyError as error:
            raise CaptureError(f"--backend {text}: {error.args[0]}") from error
        if entry.component != "model" or entry.role == "file":
            raise CaptureError(f"--backend {text} loads no model, and a fuzz only draws models")
        if variant and variant not in entry.variants:
            raise CaptureError(f"--backend {text}: its variants are {', '.join(entry.variants)}")
        found += [Subject(name, each) for each in ((variant,) if variant else entry.variants)]
    compiles = any(entry.reference or entry.compiles for entry in (find_entry(each.backend) for each in found))
    return Plan(tuple(dict.fromkeys(found)), flax=compiles)


def process_of(plan: Plan, cache: Path | None = None) -> Process:
    """This process, with all backends of a plan set up."""
    names = [subject.backend for subject in plan.subjects()]
    return Process(names, (cache or default_cache()) / "compiled")


def fuzz(
    *,
    out: Path,
    seconds: float,
    backends: Sequence[str] | None = None,
    architectures: Sequence[str] | None = None,
    seed: int = 0,
    known: str = "",
    cache: Path | None = None,
    failures: int = 8,
    progress: Callable[[Found, str], None] = lambda found, doing: None,
) -> Found:
    """Searches, and writes every failure to ``out`` as soon as it is minimised.

    Raises:
        CaptureError, FuzzError, NoSuchEntry: bad input.
    """
    if importlib.util.find_spec("hypothesis") is None:
        raise FuzzError("hypothesis, which draws the examples, is not installed: pip install 'encdec-parity[fuzz]'")
    plan = plan_of(backends)
    unknown = sorted(set(architectures or ()) - set(AUDITED))
    if unknown:
        raise FuzzError(f"--family {unknown[0]}: no such family; there are {', '.join(AUDITED)}")
    if known and known not in {entry.id for entry in entries()}:
        raise NoSuchEntry(f"--treat-as-failure {known}: the list of known issues has no such entry")
    out.mkdir(parents=True, exist_ok=True)
    search = Search(
        process_of(plan, cache),
        plan,
        architectures or AUDITED,
        seed=seed,
        known=known,
        progress=progress,
        keep=lambda failure: keep(failure, out),
    )
    found = search.run(seconds=seconds, failures=1 if known else failures)
    (out / "search.json").write_text(json.dumps(_summary(found, search), indent=1) + "\n", encoding="utf-8")
    return found


def _summary(found: Found, search: Search) -> dict[str, Any]:
    """The content of ``search.json``: the backends, the seed, the results and the coverage."""
    coverage = found.coverage
    return {
        "candidates": [subject.label for subject in search.plan.candidates],
        "families": list(search.architectures),
        "seed": search.seed,
        "versions": versions(),
        "examples": coverage.examples,
        "cells": found.cells,
        "seconds": round(found.seconds, 1),
        "nearest": found.nearest,
        "known": found.known,
        "failures": [
            f"{f.verdict.check} {f.verdict.case} {f.verdict.backend}/{f.verdict.variant} {f.example.family}: "
            f"{f.verdict.reason}"
            for f in found.failures
        ],
        "covered": {
            axis: {str(value): number for value, number in counts.items()} for axis, counts in coverage.counts.items()
        },
        "not_covered": {axis: list(map(str, values)) for axis, values in coverage.missing().items()},
    }


def keep(failure: Failure, out: Path) -> list[Path]:
    """Writes a failure: the example and its verdict as JSON, and the script where it is possible."""
    verdict = failure.verdict
    stem = "-".join([verdict.check, verdict.backend, verdict.variant.replace("+", "-"), failure.example.family])
    stored = out / f"{stem}.json"
    content = {"example": json.loads(failure.example.to_json()), "verdict": json.loads(verdict.model_dump_json())}
    stored.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    try:
        text = script(failure)
    except NoScript as why:
        failure.no_script = str(why)
        return [stored]
    stored.with_suffix(".py").write_text(text, encoding="utf-8")
    return [stored, stored.with_suffix(".py")]


def again(file: Path, backends: Sequence[str] | None = None, cache: Path | None = None) -> list[Verdict]:
    """The current verdicts of a stored failure's example, for the backend that it was found on, or others.

    Raises:
        FuzzError: the file is not a stored failure.
    """
    example, found_on = stored_failure(file)
    plan = plan_of(backends or [found_on])
    return judge_example(process_of(plan, cache), plan, example)[1]


def stored_failure(file: Path) -> tuple[Example, str]:
    """The example of a stored failure, and the backend and variant that it was found on.

    Raises:
        FuzzError: the file cannot be read, or is not a stored failure.
    """
    try:
        stored = _Stored.model_validate(parse_json(read_bytes(file), file))
        if stored.example.family not in AUDITED:
            raise FuzzError(f"{file}: no family is called {brief(stored.example.family)}")
        config_of(stored.example.config, file)
    except CheckpointError as error:
        raise FuzzError(str(error)) from error
    except ValidationError as error:
        raise FuzzError(f"{file}: no failure that `parity fuzz` stored: {format_validation_error(error)}") from error
    return stored.example, f"{stored.verdict.backend}/{stored.verdict.variant}"


class _Stored(BaseModel):
    """The content of the file that ``keep`` writes."""

    example: Example
    verdict: Verdict


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """The same exit code as an audit's."""
    if any(is_alarm(verdict) for verdict in verdicts):
        return 1
    return 0 if any(verdict.status in ("pass", "known") for verdict in verdicts) else 2
