"""Runs mutations of a library on a fixture: which lines each case executes, and which checks fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.backends.mutants.base import UNCHANGED
from parity.backends.mutants.library_source import Mutation, source_file
from parity.capture.executor import LocalProcesses
from parity.capture.in_process import WithCallersModel
from parity.capture.task import OnEvent, Result, Task
from parity.core.case import Case
from parity.core.records import Report, Verdict
from parity.core.resources import fixture
from parity.core.subject import Subject, Variant
from parity.core.trace import Trace
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.judge.followup.cases import PARTNERS
from parity.judge.followup.eos_cases import PLAIN
from parity.judge.selection import for_tolerances, made_of, narrowed_case
from parity.tools.selftest.executed import Lines, executed_lines
from parity.tools.selftest.located import nearest
from parity.tools.selftest.mutation_results import Fault, MutationResult, result_of

if TYPE_CHECKING:
    from parity.capture.task import Event
    from parity.core.records import Manifest

Key = tuple[str, str]
"""Attention and case."""
Reached = dict[Key, Lines]
"""What each case executes."""
DRAWS = "draws"
"""The tokens that a case samples, in arrays and in facts (``parity.capture.worker.decoding.sample``)."""
TIME_LIMIT = 30.0
"""Seconds for one case: a mutation can make a loop endless."""


@dataclass(frozen=True)
class Library:
    """A library whose source is mutated.

    Attributes:
        host: the backend that runs it with a mutation.
        fixtures: the checkpoints that it is run on. The first one that executes a mutation's line runs all of its
            cases, the others one of each operation.
        modules: the modules whose functions are mutated.
        attention: the implementations it is run with.
        tests: the files of the library's repository that test these modules.
    """

    host: str
    fixtures: tuple[str, ...]
    modules: tuple[str, ...]
    attention: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """A mutation that is to be run.

    Attributes:
        cases: by fixture, attention and case of those that execute its line; None for every case of the first fixture.
    """

    mutation: Mutation
    cases: Mapping[str, list[Key]] | None


NarrowCase = Callable[[Case], Case | None]
"""A case with the roles that run it; None to leave it out."""


def every_case(case: Case) -> Case | None:
    """Leaves out none."""
    return case


def of_operations(*names: str) -> NarrowCase:
    """Candidates run the cases of these operations only, and what is made to judge them."""
    return lambda case: case if case.operation in names or "of" in case.notes else for_tolerances(case)


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
        files = {str(source_file(module)): module for module in self.library.modules}
        with _silenced(), LocalProcesses(compiled, jobs=self.jobs, time_limit=TIME_LIMIT, memory=None) as processes:
            backend.setup(threads=1, device="cpu", cache=compiled)
            traced = _Traced(processes, self.library.host, backend, files)
            subjects = [Subject(self.library.host, f"{a}+mutant-{UNCHANGED}") for a in self.library.attention]
            manifest, _, _ = self._capture(checkpoint, subjects, list, executor=traced)
        self._operations[checkpoint] = {case["name"]: case["operation"] for case in manifest.cases[checkpoint]}
        return traced.reached

    def results(self, checkpoint: str, chunk: Sequence[Drawn]) -> Iterator[MutationResult]:
        """One case of each operation first, then every case for what these did not detect, if this is the first fixture
        that executes the line; without coverage, every case at once."""
        if checkpoint not in self._operations:
            yield from self.run(checkpoint, {each.mutation: self.library.attention for each in chunk})
            return
        reached: dict[Fault, dict[str, list[Key]]] = {each.mutation: dict(each.cases or {}) for each in chunk}
        few = {fault: self._one_of_each(checkpoint, cases[checkpoint]) for fault, cases in reached.items()}
        every = {fault: cases[checkpoint] for fault, cases in reached.items() if next(iter(cases)) == checkpoint}
        for result in self._run_cases(checkpoint, few):
            fault = next(each for each in few if each.name == result.mutation)
            if result.outcome == "detected" or fault not in every:
                every.pop(fault, None)
                yield result
        if every:
            yield from self._run_cases(checkpoint, every)

    def _one_of_each(self, checkpoint: str, cases: list[Key]) -> list[Key]:
        """The first case of each operation, with the first attention that reaches any."""
        operations, first = self._operations[checkpoint], {}
        for attention, case in cases:
            if attention == cases[0][0] and operations.get(case, "save") not in ("save", "load_saved"):
                first.setdefault(operations[case], (attention, case))
        return list(first.values()) or cases

    def _run_cases(self, checkpoint: str, cases: Mapping[Fault, list[Key]]) -> list[MutationResult]:
        """``run`` with the cases of all faults together, each fault with the attentions of its own."""
        known = self._operations[checkpoint]
        names = with_dependencies({case for keys in cases.values() for _, case in keys})
        attentions = {fault: list(dict.fromkeys(attention for attention, _ in keys)) for fault, keys in cases.items()}
        return self.run(checkpoint, attentions, lambda case: narrowed_case(case, names) if case.name in known else case)

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
        (opened,) = CheckpointRun.open_all(out)[1]
        answers = _answers(manifest, out)
        return [_judged(fault, report, answers, opened) for fault in attentions]

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


def _judged(fault: Fault, report: Report, answers: Mapping[tuple[str, str], str], run: CheckpointRun) -> MutationResult:
    failed = list(_new_failures(report, fault.name))
    ran = {"cases": sum(Variant.parse(variant).mutant == fault.name for variant, _ in answers)}
    if failed:
        first = min(failed, key=lambda verdict: list(run.cases).index(verdict.case))
        here = [each for each in failed if (each.case, each.variant) == (first.case, first.variant)]
        changed, plain = (_index(run, variant) for variant in (first.variant, _unmodified(first.variant)))
        kind, distance = nearest(run, changed, plain, here)
        shown = first.first_divergence.tensor if first.first_divergence else first.reason
        checks = list(dict.fromkeys(verdict.check for verdict in failed))
        about = {"checks": checks, "case": first.case, "first": str(shown)[:200], "kind": kind, "distance": distance}
        return result_of(fault, "detected", **about, **ran)
    changes = any(
        digest != answers.get((_unmodified(variant), case))
        for (variant, case), digest in answers.items()
        if Variant.parse(variant).mutant == fault.name
    )
    if not ran["cases"]:
        raise LookupError(f"{fault.name}: none of the cases that execute it was run")
    if not changes:
        return result_of(fault, "no effect", **ran)
    return result_of(fault, "repaired" if _repairs(report, fault.name) else "survived", **ran)


def _repairs(report: Report, name: str) -> bool:
    """Whether a cell passes with the mutation that is a known issue of the unmodified library."""

    def cells(mutant: str, status: str) -> set[tuple[str, str, str]]:
        found = ((v, Variant.parse(v.variant)) for v in report.verdicts if v.status == status)
        return {(v.check, v.case, variant.attention) for v, variant in found if variant.mutant == mutant}

    return not cells(UNCHANGED, "known").isdisjoint(cells(name, "pass"))


def _unmodified(variant: str) -> str:
    return f"{Variant.parse(variant).attention}+mutant-{UNCHANGED}"


def _index(run: CheckpointRun, variant: str) -> int:
    return next(index for index, subject in run.subjects("candidate") if subject.variant == variant)


def with_dependencies(names: Collection[str]) -> set[str]:
    """Cases, and those that they are derived from or judged with; as patterns."""
    found = {*names, *made_of(names), *(PARTNERS[name] for name in names if name in PARTNERS)}
    for check in CHECKS.values():
        if check.depends_on and any(fnmatchcase(name, pattern) for name in names for pattern in check.cases):
            found |= {*check.depends_on}
    return found | {PLAIN for name in names if name.startswith("generate.")}


def _new_failures(report: Report, name: str) -> Iterator[Verdict]:
    """Cells that fail with the mutation, where the unmodified library has no failure.

    Raises:
        LookupError: the unmodified library could not be judged.
    """
    failures = [v for v in report.verdicts if v.status in ("fail", "error")]
    for verdict in failures:
        if verdict.status == "error" and Variant.parse(verdict.variant).mutant == UNCHANGED:
            raise LookupError(f"{verdict.check} {verdict.case}: the unmodified library is not judged: {verdict.reason}")
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
    # Of draws only the distribution is documented: a random number that is taken elsewhere changes all of them.
    facts: dict[str, Any] = {name: value for name, value in trace.facts.items() if name != DRAWS}
    if "report" in facts:
        # Messages of the load: the library prints some of them once in a process.
        facts["report"] = {name: value for name, value in facts["report"].items() if name != "notes"}
    digest = hashlib.sha256(json.dumps([facts, trace.dtypes, repr(trace.raised)], default=str).encode())
    for name in sorted(trace.arrays.keys() - {DRAWS}):
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
        with executed_lines(self._files, lines):
            return super()._run(task, on_event)
