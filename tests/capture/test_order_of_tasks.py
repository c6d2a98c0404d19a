"""What a real backend answers depends neither on the cases before it nor on the process that it shares with them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from parity.capture.executor import LocalProcesses
from parity.capture.pipeline import capture
from parity.capture.task import Result, Task
from parity.cases.standard import standard_cases
from parity.core.options import AuditOptions
from parity.core.resources import fixture
from parity.core.trace import Trace
from tests.capture.conftest import run_tasks
from tests.selection import EVERYTHING

CASES = ("load", "forward", "generate.greedy", "generate.beams", "gradients", "decode-steps")
ALONE = 2
"""Tasks of each backend that get a process of their own."""


class Arranged:
    """Runs tasks in processes, in groups one after the other."""

    def __init__(self, folder: Path, arrange: Callable[[Sequence[Task]], list[list[Task]]]) -> None:
        self._processes, self._arrange = LocalProcesses(folder), arrange
        self.usage = self._processes.usage

    def run_rounds(self, work, on_event) -> None:
        for rounds in work:
            with contextlib.suppress(StopIteration):
                tasks = next(rounds)
                while True:
                    found: dict[str, Result] = {}
                    for group in self._arrange(tasks):
                        found |= run_tasks(self._processes, group, on_event)
                    tasks = rounds.send(found)


def some_cases(model_spec, rows, generation):
    return [case for case in standard_cases(model_spec, rows, generation) if case.name in CASES]


def shuffled(tasks):
    return [random.Random(0).sample(tasks, len(tasks))]


def some_alone(tasks):
    """A few tasks of each backend in a process each, from the end of the order planned."""
    alone = [task for name in ("reference-torch", "hf-torch") for task in of(tasks, name)[-ALONE:]]
    return [*([task] for task in alone), [task for task in tasks if task not in alone]]


def of(tasks, backend):
    return [task for task in tasks if task.backend == backend]


def answers(checkpoint, folder, arrange):
    """By checkpoint, subject and case: the bytes of each array, and the facts."""
    manifest = capture(
        [fixture(checkpoint)],
        AuditOptions(
            out=folder / "run",
            cache=folder / "cache",
            backends=["reference-torch/eager", "hf-torch/eager"],
            cases=some_cases,
        ),
        executor=Arranged(folder / "compiled", arrange),
    )
    traces = {
        (manifest.subjects[each.subject].label, manifest.subjects[each.subject].role, each.case): Trace.read(
            folder / "run" / each.path
        )
        for each in manifest.traces
        if manifest.subjects[each.subject].backend in ("reference-torch", "hf-torch")
    }
    return {
        key: ({name: array.tobytes() for name, array in trace.arrays.items()}, trace.facts, trace.raised)
        for key, trace in traces.items()
    }


@pytest.mark.full
# bart-untied lacks parameters that hf-torch initialises at random.
@pytest.mark.parametrize("checkpoint", ["bart-untied", *(["bart-odd"] if EVERYTHING else [])])
def test_order_and_company_change_no_answer(tmp_path, checkpoint):
    planned = answers(checkpoint, tmp_path / "planned", lambda tasks: [list(tasks)])
    assert len(planned) > 20
    for name, arrange in (("shuffled", shuffled), ("alone", some_alone)):
        found = answers(checkpoint, tmp_path / name, arrange)
        assert found.keys() == planned.keys()
        assert [key for key in planned if found[key] != planned[key]] == [], name
