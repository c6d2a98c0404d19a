"""How many faults of a library's own source the checks detect: ``parity selftest --library hf-torch``.

Every mutation changes one node of the installed library (``parity.backends.mutants.library_source``). First the
unmodified library runs every case, and the lines that each case executes are recorded. A mutation of a line that no
case executes is a missing case. Any other runs the cases that execute its line: one of each operation first, and all of
them if those detect nothing. It is detected if a check fails that the unmodified library passes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import sys
import tempfile
import tomllib
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from parity.backends.mutants.base import UNCHANGED
from parity.backends.mutants.library_source import Mutation, module_of, mutations, source_file
from parity.capture.executor import LocalProcesses
from parity.capture.in_process import WithCallersModel
from parity.capture.task import OnEvent, Result, Task
from parity.core.case import Case
from parity.core.errors import InputError
from parity.core.nearest import unknown
from parity.core.records import Report, Verdict
from parity.core.resources import fixture
from parity.core.subject import Subject, Variant
from parity.core.trace import Trace
from parity.judge.selection import for_tolerances
from parity.report.export.writing import append

if TYPE_CHECKING:
    from parity.capture.task import Event
    from parity.core.records import Manifest

Lines = dict[str, set[int]]
"""Executed lines by file."""
Key = tuple[str, str]
"""Attention and case."""
Reached = dict[Key, Lines]
"""What each case executes."""
TIME_LIMIT = 60.0
"""Seconds for one case: a mutation can make a loop endless."""
OUTCOMES = ("detected", "survived", "no effect", "not executed")
ENOUGH = 0.98
"""The share of mutations that change an answer which are to be detected."""
CHUNK = 16
"""Mutations that are captured and judged together."""


@dataclass(frozen=True)
class Library:
    """A library whose source is mutated.

    Attributes:
        host: the backend that runs it with a mutation.
        fixtures: the checkpoints that it is run on, by the modules whose mutations they are to detect.
        attention: the implementations it is run with.
    """

    host: str
    fixtures: Mapping[str, tuple[str, ...]]
    attention: tuple[str, ...]


TABLE = Path(__file__).with_name("libraries.toml")


def _libraries() -> dict[str, Library]:
    """The table, by the name of the backend that is mutated."""
    found = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        name: Library(
            f"mutant-{name}",
            {checkpoint: tuple(modules) for checkpoint, modules in row["modules"].items()},
            tuple(row["attention"]),
        )
        for name, row in found.items()
    }


LIBRARIES = _libraries()


class MutationResult(BaseModel):
    """The result of one mutation."""

    model_config = ConfigDict(frozen=True)
    mutation: str
    text: str
    operator: str
    module: str
    outcome: str
    """``not executed``, ``detected``, ``survived`` (an answer changed, and no check failed) or ``no effect`` (every
    answer has the same bytes, draws aside)."""
    checks: list[str] = []
    """Checks that failed."""
    case: str = ""
    """The first failing case."""
    first: str = ""
    """The first divergence there, or the exception."""
    cases: int = 0
    """The number of cases that were run."""


class LibraryScore(BaseModel):
    """What was mutated, and the results."""

    model_config = ConfigDict(frozen=True)
    library: str
    seed: int
    population: dict[str, int] = {}
    """By module, the number of mutations of functions that a case executes."""
    functions: dict[str, tuple[int, int]] = {}
    """By module, the number of functions that a case executes, and of all."""
    results: list[MutationResult] = []

    def count(self, *outcomes: str) -> int:
        return sum(each.outcome in outcomes for each in self.results)

    @property
    def score(self) -> float:
        """The share of mutations that are detected, of those that change an answer."""
        return self.count("detected") / max(1, self.count("detected", "survived"))

    @property
    def score_of_executed(self) -> float:
        """The same, of all whose line is executed: those without an effect count as not detected."""
        return self.count("detected") / max(1, self.count("detected", "survived", "no effect"))


class Fault(Protocol):
    """A mutation, or an argument that is ignored (``parity.tools.selftest.arguments``)."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def module(self) -> str: ...


@dataclass(frozen=True)
class Drawn:
    """A mutation that is to be run.

    Attributes:
        checkpoint: the fixture that it is run on.
        cases: attention and case of those that execute its line; None for every case.
    """

    checkpoint: str
    mutation: Mutation
    cases: list[Key] | None


def mutate_library(
    name: str,
    *,
    count: int = 100,
    seed: int = 0,
    names: Sequence[str] = (),
    modules: Sequence[str] = (),
    out: Path | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Callable[[Event], None] | None = None,
    on_results: Callable[[LibraryScore], None] = lambda score: None,
) -> LibraryScore:
    """Draws mutations of a library and runs each.

    Args:
        name: of ``LIBRARIES``.
        count: how many are drawn, from all modules together.
        names: these mutations instead, each with every case.
        modules: draw from these only.
        out: a JSON Lines file. Results are appended as they come, and those that it has are not computed again.
        on_results: called after each chunk, with all results so far.

    Raises:
        InputError: the library, a module or a mutation is unknown, or ``out`` is another file.
        CaptureError: nothing could be captured.
    """
    if name not in LIBRARIES:
        raise InputError(unknown("no library to mutate is called", name, LIBRARIES))
    library = LIBRARIES[name]
    done = {each.mutation: each for each in stored(out)}
    with tempfile.TemporaryDirectory(prefix="parity-mutations-") as folder:
        runner = Runner(library, Path(folder), cache, jobs, progress)
        score, drawn = LibraryScore(library=name, seed=seed), _named(library, names)
        if not names:
            drawn, population, functions = _population(library, runner, modules)
            random.Random(seed).shuffle(drawn)
            drawn = drawn[:count]
            score = LibraryScore(library=name, seed=seed, population=population, functions=functions)

        def so_far() -> LibraryScore:
            results = [done[each.mutation.name] for each in drawn if each.mutation.name in done]
            return score.model_copy(update={"results": results})

        for each in drawn:
            if each.cases == [] and each.mutation.name not in done:
                done[each.mutation.name] = store(out, _result(each.mutation, "not executed"))
        for checkpoint in library.fixtures:
            left = [each for each in drawn if each.checkpoint == checkpoint and each.mutation.name not in done]
            left.sort(key=lambda each: (each.mutation.module, each.mutation.line))
            for start in range(0, len(left), CHUNK):
                for result in runner.results(checkpoint, left[start : start + CHUNK]):
                    done[result.mutation] = store(out, result)
                on_results(so_far())
    return so_far()


def _modules(library: Library, wanted: Sequence[str]) -> dict[str, str]:
    """The fixture of each wanted module, by default of all.

    Raises:
        InputError: a module is not mutated.
    """
    known = {module: name for name, group in library.fixtures.items() for module in group}
    for each in wanted:
        if each not in known:
            raise InputError(unknown("no mutated module is called", each, known))
    return {module: name for module, name in known.items() if not wanted or module in wanted}


def _named(library: Library, names: Sequence[str]) -> list[Drawn]:
    """Raises InputError if there is no such mutation."""
    modules = _modules(library, list(dict.fromkeys(module_of(name) for name in names)))
    found = {each.name: each for module in modules for each in mutations(module)}
    for name in names:
        if name not in found:
            module = module_of(name)
            last = max(each.number for each in found.values() if each.module == module)
            raise InputError(f"{name}: the mutations of {module} are {module}-0 to {module}-{last}")
    return [Drawn(modules[found[name].module], found[name], None) for name in dict.fromkeys(names)]


def _population(
    library: Library, runner: Runner, wanted: Sequence[str]
) -> tuple[list[Drawn], dict[str, int], dict[str, tuple[int, int]]]:
    """The mutations of all functions that a case executes; and by module how many there are, and how many functions are
    executed, of all."""
    modules, found, population, functions = _modules(library, wanted), [], {}, {}
    for checkpoint in dict.fromkeys(modules.values()):
        reached = runner.coverage(checkpoint)
        for module in (each for each, name in modules.items() if name == checkpoint):
            here = {each: _reaching(each, reached) for each in mutations(module)}
            executed = {each.function for each, cases in here.items() if cases}
            drawn = [Drawn(checkpoint, each, cases) for each, cases in here.items() if each.function in executed]
            functions[module] = (len(executed), len({each.function for each in here}))
            population[module] = len(drawn)
            found += drawn
    return found, population, functions


def stored(out: Path | None) -> list[MutationResult]:
    """The results in a JSON Lines file; none where there is no file.

    Raises:
        InputError: it is another file.
    """
    if out is None or not out.exists():
        return []
    try:
        return [MutationResult.model_validate_json(line) for line in out.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{out}: not the results of mutations: {error}") from error


def store(out: Path | None, result: MutationResult) -> MutationResult:
    """Appends a result to a JSON Lines file, if there is one, and returns it.

    Raises:
        OutputError: it cannot be written.
    """
    if out is not None:
        append(out, result.model_dump_json() + "\n")
    return result


def _reaching(mutation: Mutation, reached: Reached) -> list[Key]:
    """Attention and case of those that execute a mutation's line."""
    return [key for key, lines in reached.items() if mutation.line in lines.get(mutation.module, ())]


def _result(mutation: Fault, outcome: str, **more: Any) -> MutationResult:
    about = {"text": mutation.text, "operator": mutation.operator, "module": mutation.module}
    return MutationResult(mutation=mutation.name, outcome=outcome, **about, **more)


NarrowCase = Callable[[Case], Case | None]
"""A case with the roles that run it; None to leave it out."""


def every_case(case: Case) -> Case | None:
    """Leaves out none."""
    return case


def of_operations(*names: str) -> NarrowCase:
    """Candidates run the cases of these operations only."""
    return lambda case: case if case.operation in names else for_tolerances(case)


class Runner:
    """Captures and judges mutations on one library's fixtures."""

    def __init__(
        self,
        library: Library,
        folder: Path,
        cache: Path | None,
        jobs: int | None,
        progress: Callable[[Event], None] | None,
    ) -> None:
        self.library, self.folder, self.cache, self.jobs, self.progress = library, folder, cache, jobs, progress
        self._operations: dict[str, dict[str, str]] = {}
        """By fixture and case, its operation; empty where the coverage was not measured."""
        self._number = 0

    def coverage(self, checkpoint: str) -> Reached:
        """Runs the unmodified library in this process, and records what each case executes."""
        from parity.backends.registry import named_function
        from parity.capture.cache import TraceCache, default_cache
        from parity.core.backends import find_entry

        entry = find_entry(self.library.host)
        backend = named_function(f"{entry.module}:{entry.attribute}")()
        compiled = TraceCache(self.cache or default_cache()).compiled
        files = {str(source_file(module)): module for group in self.library.fixtures.values() for module in group}
        with _silenced(), LocalProcesses(compiled, jobs=self.jobs, time_limit=TIME_LIMIT, memory=None) as processes:
            backend.setup(threads=1, device="cpu", cache=compiled)
            traced = _Traced(processes, self.library.host, backend, files)
            subjects = [Subject(self.library.host, f"{a}+mutant-{UNCHANGED}") for a in self.library.attention]
            manifest, _, _ = self._capture(checkpoint, subjects, list, executor=traced)
        self._operations[checkpoint] = {case["name"]: case["operation"] for case in manifest.cases[checkpoint]}
        return traced.reached

    def results(self, checkpoint: str, chunk: Sequence[Drawn]) -> Iterator[MutationResult]:
        """One case of each operation first, then every case for what these did not detect; without coverage, every case
        at once."""
        if checkpoint not in self._operations:
            yield from self.run(checkpoint, {each.mutation: self.library.attention for each in chunk})
            return
        left: dict[Fault, list[Key]] = {each.mutation: each.cases or [] for each in chunk}
        few = {fault: self._one_of_each(checkpoint, cases) for fault, cases in left.items()}
        for result in self._run_cases(checkpoint, few):
            if result.outcome == "detected":
                yield result
                left = {fault: cases for fault, cases in left.items() if fault.name != result.mutation}
        if left:
            yield from self._run_cases(checkpoint, left)

    def _one_of_each(self, checkpoint: str, cases: list[Key]) -> list[Key]:
        """The first case of each operation, with the first attention that reaches any."""
        operations, first = self._operations[checkpoint], {}
        for attention, case in cases:
            if attention == cases[0][0] and operations.get(case, "save") not in ("save", "load_saved"):
                first.setdefault(operations[case], (attention, case))
        return list(first.values()) or cases

    def _run_cases(self, checkpoint: str, cases: Mapping[Fault, list[Key]]) -> list[MutationResult]:
        """``run`` with the cases of all faults together, each fault with the attentions of its own."""
        names, known = {case for keys in cases.values() for _, case in keys}, self._operations[checkpoint]
        attentions = {fault: list(dict.fromkeys(attention for attention, _ in keys)) for fault, keys in cases.items()}
        return self.run(checkpoint, attentions, lambda case: _narrowed(case, names, known))

    def run(
        self,
        checkpoint: str,
        attentions: Mapping[Fault, Sequence[str]],
        narrow: NarrowCase = every_case,
    ) -> list[MutationResult]:
        """Runs each fault with these attentions, beside the unmodified library.

        Args:
            narrow: ``every_case``, or of fewer operations (``of_operations``).
        """
        plain = dict.fromkeys(attention for each in attentions.values() for attention in each)
        variants = [f"{attention}+mutant-{UNCHANGED}" for attention in plain]
        variants += [f"{attention}+mutant-{fault.name}" for fault, each in attentions.items() for attention in each]
        subjects = [Subject(self.library.host, variant) for variant in variants]
        manifest, out, report = self._capture(
            checkpoint, subjects, lambda cases: [each for case in cases if (each := narrow(case)) is not None]
        )
        answers = _answers(manifest, out)
        return [_judged(fault, report, answers) for fault in attentions]

    def _capture(
        self, checkpoint: str, subjects: list[Subject], narrow: Callable[[list[Case]], list[Case]], **how: Any
    ) -> tuple[Manifest, Path, Report]:
        from parity.capture.pipeline import capture
        from parity.core.options import AuditOptions
        from parity.judge.followup.cases import DERIVED
        from parity.judge.judge import judge

        self._number += 1
        out = self.folder / str(self._number)
        manifest = capture(
            [fixture(checkpoint)],
            AuditOptions(out=out, cache=self.cache, jobs=self.jobs, time_limit=TIME_LIMIT, case_set="exhaustive"),
            derive=DERIVED,
            narrow=narrow,
            progress=self.progress,
            candidates={checkpoint: subjects},
            **how,
        )
        return manifest, out, judge(out)


def _judged(mutation: Fault, report: Report, answers: Mapping[tuple[str, str], str]) -> MutationResult:
    failed = list(_new_failures(report, mutation.name))
    cases = sum(Variant.parse(variant).mutant == mutation.name for variant, _ in answers)
    if failed:
        first = failed[0]
        shown = first.first_divergence.tensor if first.first_divergence else first.reason
        checks = list(dict.fromkeys(verdict.check for verdict in failed))
        return _result(mutation, "detected", checks=checks, case=first.case, first=str(shown)[:200], cases=cases)
    changed = any(
        digest != answers.get((f"{Variant.parse(variant).attention}+mutant-{UNCHANGED}", case))
        for (variant, case), digest in answers.items()
        if Variant.parse(variant).mutant == mutation.name
    )
    return _result(mutation, "survived" if changed else "no effect", cases=cases)


def _narrowed(case: Case, wanted: set[str], known: Mapping[str, str]) -> Case | None:
    """A case with the roles that run it: candidates only those that are wanted, or that follow from their answers."""
    return case if case.name in wanted or case.name not in known else for_tolerances(case)


def _new_failures(report: Report, name: str) -> Iterator[Verdict]:
    """Cells that fail with the mutation, where the unmodified library has no failure."""
    failures = [v for v in report.verdicts if v.status in ("fail", "error")]
    before = {
        (v.check, v.case, Variant.parse(v.variant).attention)
        for v in failures
        if Variant.parse(v.variant).mutant == UNCHANGED
    }
    for verdict in failures:
        variant = Variant.parse(verdict.variant)
        if variant.mutant == name and (verdict.check, verdict.case, variant.attention) not in before:
            yield verdict


def _answers(manifest: Manifest, out: Path) -> dict[tuple[str, str], str]:
    """A digest of each candidate's answer, by variant and case, without times."""
    found = {}
    for record in manifest.traces:
        subject = manifest.subjects[record.subject]
        if subject.role == "candidate":
            content = record.outcome if record.path is None else _content(Trace.read(out / record.path))
            found[subject.variant, record.case] = content
    return found


def _content(trace: Trace) -> str:
    facts: dict[str, Any] = dict(trace.facts)
    if "report" in facts:
        # Messages of the load: the library prints some of them once in a process.
        facts["report"] = {name: value for name, value in facts["report"].items() if name != "notes"}
    digest = hashlib.sha256(json.dumps([facts, trace.dtypes, repr(trace.raised)], default=str).encode())
    # Of draws only the distribution is documented: a random number that is taken elsewhere changes all of them.
    for name in sorted(trace.arrays.keys() - {"draws"}):
        array = trace.arrays[name]
        digest.update(f"{name}{array.shape}{array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Discards what the library writes to standard error in this process."""
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stderr(nothing), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Traced(WithCallersModel):
    """Runs the tasks of one backend in this process, and records the executed lines of some files.

    Args:
        files: modules by their file.
    """

    def __init__(self, processes: LocalProcesses, name: str, backend: Any, files: Mapping[str, str]) -> None:
        super().__init__(processes, name, backend)
        self.reached: Reached = {}
        self._files = files

    def _run(self, task: Task, on_event: OnEvent) -> Result:
        lines = self.reached.setdefault((Variant.parse(task.variant).attention, task.case["name"]), {})

        def trace_lines(frame: types.FrameType, event: str, argument: Any) -> Any:
            lines.setdefault(self._files[frame.f_code.co_filename], set()).add(frame.f_lineno)
            return trace_lines

        def trace_calls(frame: types.FrameType, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename not in self._files:
                return None
            return trace_lines(frame, event, argument)

        sys.settrace(trace_calls)
        try:
            return super()._run(task, on_event)
        finally:
            sys.settrace(None)
