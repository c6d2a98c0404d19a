"""Where the figures come from: environments, subjects, checkpoints, cases, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from parity.core.records import CaseRecord, Cost, Report
from parity.report.console import duration, size
from parity.report.terminal import cost_line, unused_files

NAMED_APART = ("versions", "sources", "python")


@dataclass(frozen=True)
class Stack:
    """One environment: its libraries, the digests of their sources, and the machine."""

    name: str
    python: str
    versions: dict[str, str]
    sources: dict[str, str]
    machine: dict[str, str]
    """Whatever else was recorded: interpreter, variables, processor, operating system."""


@dataclass(frozen=True)
class Provenance:
    stacks: list[Stack]
    cases: dict[str, list[tuple[CaseRecord, str]]]
    """By checkpoint, each case with the shapes of its inputs in words."""
    cost: list[tuple[str, str]]
    spent: list[tuple[str, str, int, str, str]]
    """Subject, work, traces, seconds and seconds beside it, the most first; what is less than a hundredth of all left
    out."""
    summary: str
    unused: dict[str, str]
    """By checkpoint, the names of what else lies in its directory."""


def provenance_view(report: Report) -> Provenance:
    """Everything needed to repeat the run."""
    return Provenance(
        stacks=[_stack(name, environment) for name, environment in report.environments.items()],
        cases={name: [(case, _shapes(case)) for case in cases] for name, cases in report.cases.items()},
        cost=_cost(report.cost) if report.cost else [],
        spent=_spent(report.cost) if report.cost else [],
        summary=cost_line(report),
        unused={each.name: unused_files(each) for each in report.checkpoints if each.unused_files},
    )


def _stack(name: str, environment: dict[str, Any]) -> Stack:
    return Stack(
        name=name,
        python=str(environment.get("python") or "unknown"),
        versions=dict(environment.get("versions") or {}),
        sources=dict(environment.get("sources") or {}),
        machine={key: _words(value) for key, value in environment.items() if key not in NAMED_APART and value},
    )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={content}" for name, content in value.items())
    if isinstance(value, list):
        return ", ".join(_words(member) for member in value)
    return str(value)


def _shapes(case: CaseRecord) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in case.shapes.items())


def _cost(cost: Cost) -> list[tuple[str, str]]:
    traces = cost.traces_cached + cost.traces_captured
    return [
        ("wall time", duration(cost.wall_seconds)),
        *([("of it the start of the command", duration(cost.start_seconds))] if cost.start_seconds else []),
        ("of it in backends", duration(cost.backend_seconds)),
        ("judging", duration(cost.judge_seconds)),
        ("reading and writing traces, over all processes", duration(cost.trace_io_seconds)),
        ("overhead, outside the backends", f"{cost.own_share:.1%}"),
        ("peak memory over all processes", size(cost.peak_memory)),
        ("traces captured", f"{cost.traces_captured} of {traces}; the others were in the cache"),
    ]


def _spent(cost: Cost) -> list[tuple[str, str, int, str, str]]:
    least = sum(each.seconds + each.io_seconds for each in cost.spent) / 100
    return [
        (each.subject, each.work, each.traces, duration(each.seconds), duration(each.io_seconds))
        for each in cost.spent
        if each.seconds + each.io_seconds >= least
    ]
