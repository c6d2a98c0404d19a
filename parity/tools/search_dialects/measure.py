"""Which dialect each library speaks: ``python -m parity.tools.search_dialects.measure STACK…`` asks them and writes
``dialects.toml``.

Every library generates for every case of ``parity.tools.search_dialects.calls`` in its own interpreter. A cell of the
table, one library's value of one choice, is the only value under which the reference's search gives what the library
gave, over all cases in which the values differ; and the whole dialect has to give what the library gave in every case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from parity.core.stacks import Stack, resolve_stack, table
from parity.tools.search_dialects.calls import BATCH, INPUTS, Case, cases, jobs, ours
from reference.generation import Dialect, Generated, GenerationSettings
from reference.generation import dialect as dialects
from reference.generation.dialect import Stopping, Unfinished

TABLE = Path(__file__).with_name("dialects.toml")
PROBE = Path(__file__).with_name("probe.py")
ENGINE, ENGINE_PROBE = "ctranslate2", "parity.tools.search_dialects.probe_ctranslate2"
ROUNDING = 1e-4
"""Scores of one text nearer than this are the same. The table says how far apart equal ones were at most and different
ones at least; this lies between the two, and a test fails where either comes near it."""


@dataclass(frozen=True)
class Line:
    """One library: its stack, framework and expected dialect."""

    stack: str
    framework: str
    dialect: str

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.stack}/{self.framework}"


LINES = (
    Line("docs-4.37", "torch", "TORCH_4_37"),
    Line("docs-4.37", "tf", "TF"),
    Line("docs-4.37", "flax", "FLAX_4_37"),
    Line("main", "torch", "TORCH_4_57"),
    Line("main", "tf", "TF"),
    Line("main", "flax", "FLAX_4_57"),
    Line("current", "torch", "TORCH_5_23"),
    Line("main", ENGINE, "CTRANSLATE2_4_8"),
)


class AmbiguousResult(ValueError):
    """The cases do not determine a value, or contradict the expected one; the message names the library and the
    choice."""


@dataclass
class Distances:
    """Relative differences of scores of equal texts."""

    same: float = 0.0
    """The largest difference that counts as equal."""
    different: float = float("inf")
    """The smallest difference that counts as different."""

    def same_score(self, first: np.ndarray, second: np.ndarray) -> bool:
        """Whether scores are equal up to rounding."""
        distance = float(np.max(np.abs(first - second) / np.maximum(np.abs(second), np.finfo(float).tiny)))
        if distance <= ROUNDING:
            self.same = max(self.same, distance)
        else:
            self.different = min(self.different, distance)
        return distance <= ROUNDING


def measured_in_stack(line: Line, stack: Stack, jobs: list[dict[str, Any]], directory: Path) -> list[dict[str, Any]]:
    """What the library answers to every case.

    Raises:
        AmbiguousResult: its process failed.
    """
    inputs = {name: array.tolist() for name, array in INPUTS.items()}
    job, answer = (directory / f"{what}-{line.stack}-{line.framework}.json" for what in ("job", "answer"))
    job.write_text(json.dumps({"framework": line.framework, "inputs": inputs, "cases": jobs}))
    # One thread: products this small only wait for each other, and two libraries are asked at a time.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", **stack.environment}
    environment = {name: value for name, value in environment.items() if value}
    probe = ["-m", ENGINE_PROBE] if line.framework == ENGINE else [str(PROBE)]
    command = [str(stack.interpreter), *probe, str(job), str(answer)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AmbiguousResult(f"{line.name}: the probe failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(answer.read_text())


def agrees(answer: dict[str, Any], result: Generated, fill: int, distances: Distances) -> bool:
    """Whether a library's answer is the reference's: every token, what fills rows too, and the scores.

    Rows may be filled further on one side; the width is no part of a text.
    """
    theirs = np.array(answer["sequences"])
    width = max(theirs.shape[1], result.sequences.shape[1])
    widened = [
        np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=fill) for rows in (theirs, result.sequences)
    ]
    if (widened[0] != widened[1]).any():
        return False
    if answer["scores"] is None or result.scores is None:
        return answer["scores"] is None and result.scores is None
    return distances.same_score(np.array(answer["scores"]), result.scores)


@dataclass
class Judge:
    """Holds one line's answers against the reference in any dialect."""

    line: Line
    answers: list[dict[str, Any]]
    result: Callable[[Case, Dialect], tuple[Generated, int]]
    distances: Distances

    @property
    def dialect(self) -> Dialect:
        """The expected dialect."""
        return getattr(dialects, self.line.dialect)

    def whole(self) -> dict[str, Any]:
        """How many cases the dialect gives as the library does, of how many that it answers; what it raises."""
        answered = [pair for pair in zip(cases(), self.answers, strict=True) if "raises" not in pair[1]]
        equal = sum(agrees(answer, *self.result(case, self.dialect), self.distances) for case, answer in answered)
        raised = sorted({answer["raises"] for answer in self.answers if "raises" in answer})
        rest = {"raises": raised, "raising": len(self.answers) - len(answered)} if raised else {}
        return {"equal": equal, "of": len(answered), "sources": len(answered) * BATCH, **rest}

    def cell(self, choice: str) -> tuple[str, int]:
        """The one value of a choice that gives what the library gives, and the number of cases that tell it.

        Raises:
            AmbiguousResult: no case tells the values apart, or no value or more than one is left, or it is another than
                the dialect's.
        """
        held: Enum = getattr(self.dialect, choice)
        values = list(type(held))
        left, telling, raised = set(values), 0, set()
        for case, answer in zip(cases(), self.answers, strict=True):
            results = {value: self.result(case, replace(self.dialect, **{choice: value})) for value in values}
            if not any(_differ(results[held][0], other[0]) for other in results.values()):
                continue
            if "raises" in answer:
                raised.add(answer["raises"])
                continue
            telling += 1
            left &= {value for value, found in results.items() if agrees(answer, *found, self.distances)}
        if not telling and raised:
            return f"raises {', '.join(sorted(raised))}", 0
        if not telling and self.is_moot(choice):
            return "moot", 0
        if left != {held} or not telling:
            said = ", ".join(sorted(value.name for value in left)) or "no value"
            raise AmbiguousResult(f"{self.line.name}: {choice} is held to be {held.name}; {telling} cases leave {said}")
        return held.name, telling

    def is_moot(self, choice: str) -> bool:
        """Whether the dialect's other values leave a choice without effect."""
        if choice in ("bound", "stop"):
            return self.dialect.stopping is Stopping.ENOUGH_FINISHED
        return choice == "unfinished_score" and self.dialect.unfinished is not Unfinished.LAST_RESORT


def _differ(first: Generated, second: Generated) -> bool:
    """Whether two results differ; a difference in width is a difference in padding."""
    if first.sequences.shape != second.sequences.shape or (first.sequences != second.sequences).any():
        return True
    if first.scores is None:
        return False
    return second.scores is None or not Distances().same_score(first.scores, second.scores)


def judged(line: Line, answers: list[dict[str, Any]], result: Callable, distances: Distances) -> Iterator[str]:
    """One line's part of the table.

    Raises:
        AmbiguousResult: as ``Judge.cell``.
    """
    judge = Judge(line, answers, result, distances)
    yield f'\n[lines."{line.name}"]\ndialect = "{line.dialect}"'
    yield f'version = "{_version(line)}"'
    for name, value in judge.whole().items():
        yield f"{name} = {json.dumps(value)}"
    for choice in fields(Dialect):
        value, telling = judge.cell(choice.name)
        yield f'{choice.name} = {{ value = "{value}", cases = {telling} }}'


def _version(line: Line) -> str:
    """Of transformers, or of the engine."""
    if line.framework == ENGINE:
        return version(ENGINE)
    pins = table()[line.stack].requires
    return next(pin.removeprefix("transformers==") for pin in pins if pin.startswith("transformers"))


def main(arguments: list[str] | None = None) -> int:
    """Runs every library and writes the table."""
    parser = argparse.ArgumentParser(
        prog="python -m parity.tools.search_dialects.measure", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("stacks", nargs="+", help="main, another row of the stacks, or NAME=PATH/TO/PYTHON")
    stacks = {stack.name: stack for stack in map(resolve_stack, parser.parse_args(arguments).stacks)}
    parts, distances = [], Distances()
    with tempfile.TemporaryDirectory() as folder:

        @cache
        def result(case: Case, dialect: Dialect) -> tuple[Generated, int]:
            held = GenerationSettings.read(Path(folder) / case.name, **dict(case.arguments))
            return ours(case, Path(folder), dialect), held.fill(dialect)

        try:
            all_jobs = list(jobs(Path(folder)))
            with ThreadPoolExecutor(2) as pool:
                answers = pool.map(
                    lambda line: measured_in_stack(line, stacks[line.stack], all_jobs, Path(folder)), LINES
                )
                for line, given in zip(LINES, answers, strict=True):
                    parts += judged(line, given, result, distances)
                    print(f"{line.name}: {len(given)} cases", file=sys.stderr, flush=True)
        except (AmbiguousResult, KeyError) as error:
            print(f"parity.tools.search_dialects.measure: {error}", file=sys.stderr)
            return 1
    head = [
        "# Written by `python -m parity.tools.search_dialects.measure`: which dialect of search each library speaks.",
        "# `cases` is the number of calls in which the choice's values differ and only the one named gives the answer.",
        f'date = "{datetime.now(UTC).date()}"',
        f"cases = {len(cases())}",
        f"largest_distance_of_equal_scores = {distances.same:.2g}",
        f"smallest_distance_of_different_scores = {distances.different:.2g}",
    ]
    TABLE.write_text("\n".join(head + parts) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
