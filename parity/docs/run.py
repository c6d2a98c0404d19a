"""``parity docs``: finds examples, runs each in every stack, judges them, and writes down what became of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from parity import __version__
from parity.capture.probe import cores
from parity.docs import DocsError
from parity.docs.checkpoints import Real, Shelf, StandIns
from parity.docs.dependence import ids_of
from parity.docs.diagnosis import diagnose
from parity.docs.examples import Block, Source
from parity.docs.judging import judge, not_run
from parity.docs.pages import PageError, read_page
from parity.docs.results import BlockRecord, DocsReport, ExampleResult, Mode, SourceRecord, StackRecord, totals_of
from parity.docs.running import Outcome, Runner
from parity.docs.sources import look_into, names_of
from parity.docs.watching import snapshot, what_changed
from parity.stacks import Stack, resolve_stack


class Say(Protocol):
    """What progress is told to."""

    def __call__(self, what: str, done: int = 0, total: int = 0, problem: str = "") -> None:
        """What is done, how many examples are done, of how many, and what was wrong with the last one."""


Key = tuple[str, str, tuple[str, ...]]
"""Of what is run once: stack, kind of block, code."""
CORRECTIONS = 3
"""How many one after another an example may get."""


@dataclass(frozen=True)
class Asked:
    """One example in one stack."""

    name: str
    source: str
    stack: Stack
    block: Block

    @property
    def key(self) -> Key:
        """The same code in the same stack is run once, however many docstrings hold it."""
        return self.stack.name, self.block.kind, tuple(each.code for each in self.block.statements)

    def judged(self, outcome: Outcome, shelf: Shelf) -> ExampleResult:
        """What became of it."""
        return judge(self.name, self.source, self.block, self.stack.name, outcome, shelf.standing_in(self.stack))


@dataclass
class Plan:
    """What was found and is to be run."""

    sources: list[SourceRecord] = field(default_factory=list)
    stacks: list[StackRecord] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def add(self, source: Source, stacks: Sequence[Stack], of_stack: str | None) -> None:
        examples = source.examples()
        names = {id(block): name for name, block in examples}
        self.sources.append(SourceRecord(
            name=source.name, kind=source.kind, stack=of_stack, notes=list(source.notes),
            error="" if source.blocks else "no code",
            blocks=[
                BlockRecord(
                    line=block.line, kind=block.kind, example=names.get(id(block)), statements=len(block.statements),
                    reason=block.reason, notes=list(block.notes),
                )
                for block in source.blocks
            ],
        ))  # fmt: skip
        self.asked += [Asked(name, source.name, stack, block) for stack in stacks for name, block in examples]


def docs(
    pages: Sequence[Path] = (),
    *,
    installed: bool = False,
    stacks: Sequence[str] = ("main",),
    checkpoints: Mode = "stand-in",
    network: bool = False,
    only: Sequence[str] = (),
    time_limit: float = 120.0,
    jobs: int | None = None,
    progress: Say = lambda *told: None,
) -> DocsReport:
    """Runs the examples of pages, of installed docstrings, or both, in every stack. It runs code from these documents.

    Args:
        pages: files of Markdown or plain text.
        installed: also the docstrings of the documented classes of each stack's transformers.
        stacks: as for ``parity.api.audit``.
        checkpoints: ``stand-in``, or ``real`` for those of the user's hub cache.
        network: with ``real``, fetch what is not there.
        only: names of examples, or what they begin with: ``BartModel``, ``BartModel.forward#1``, ``bart.md:53``.
        time_limit: seconds that one example may take.
        jobs: examples at a time; by default as many as there are cores.

    Raises:
        DocsError: there is nothing to run, or a stack cannot be asked.
        StackError: no such stack.
    """
    if checkpoints not in ("stand-in", "real"):
        raise DocsError(f"{checkpoints}: no such checkpoints; there are stand-in and real")
    if network and checkpoints != "real":
        raise DocsError("the network is of use with real checkpoints only: --checkpoints real --network")
    if not pages and not installed:
        raise DocsError("nothing to run: name pages, or ask for the installed docstrings with --installed")
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    jobs = jobs or cores()
    chosen = [resolve_stack(name) for name in dict.fromkeys(stacks)]
    plan = _plan(pages, installed, chosen, progress)
    if not plan.asked:
        whys = [f"{each.name}: {each.error}" for each in plan.sources if each.error]
        raise DocsError("nothing to run: " + ("; ".join(whys) or "no example"))
    for wanted in only:
        if not any(is_called(asked.name, wanted) for asked in plan.asked):
            raise DocsError(f"{wanted}: no example is called so")
    if only:
        plan.asked = [asked for asked in plan.asked if any(is_called(asked.name, wanted) for wanted in only)]
    shelf: Shelf = Real(network=network) if checkpoints == "real" else StandIns()
    folders = [Path.cwd(), Path.home()]
    try:
        for stack in chosen:
            if any(ids_of(asked.block) for asked in plan.asked if asked.stack == stack):
                progress(f"checkpoints for {stack.name}")
                shelf.lay_out(stack)
        before = snapshot(folders)
        runner = Runner(
            shelf.furnish, time_limit=time_limit, threads=max(1, cores() // jobs),
            cache=shelf.fills,
        )  # fmt: skip
        results = _run_all(plan, shelf, runner, jobs, progress)
        changed = what_changed(before, snapshot(folders))
    finally:
        shelf.close()
    return DocsReport(
        parity_version=__version__, command=sys.argv, started=started, mode=checkpoints, stacks=plan.stacks,
        sources=plan.sources, examples=results, totals=totals_of(results),
        changed=changed, interrupted=runner.stopped, seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip


def is_called(name: str, wanted: str) -> bool:
    """Whether an example's name is the wanted one, or begins with it at a boundary."""
    return name == wanted or name.startswith((f"{wanted}.", f"{wanted}#", f"{wanted}:"))


def _plan(pages: Sequence[Path], installed: bool, stacks: Sequence[Stack], progress: Say) -> Plan:
    plan = Plan()
    names = names_of(pages)
    for path in pages:
        try:
            source = read_page(path, names[path])
        except PageError as error:
            plan.sources.append(SourceRecord(name=names[path], kind="page", error=str(error)))
            continue
        plan.add(source, stacks, None)
    for stack in stacks:
        progress(f"reading {stack.name}")
        found = look_into(stack, docstrings=installed)
        plan.stacks.append(
            StackRecord(name=stack.name, python=found.python, versions=found.versions, absent=found.absent)
        )
        for source in found.sources:
            plan.add(source, [stack], stack.name)
    return plan


def _run_all(plan: Plan, shelf: Shelf, runner: Runner, jobs: int, progress: Say) -> list[ExampleResult]:
    """Runs what can be run, then what could be mended of what broke, until nothing more can be."""
    results: dict[int, ExampleResult] = {}
    runnable = {}
    for number, asked in enumerate(plan.asked):
        reason = shelf.lacks(ids_of(asked.block), asked.stack)
        if reason:
            results[number] = not_run(asked.name, asked.source, asked.block, asked.stack.name, reason)
        else:
            runnable[number] = asked
    outcomes = _outcomes(list(runnable.values()), runner, jobs, progress)
    for number, asked in runnable.items():
        outcome = outcomes.get(asked.key) or Outcome(not_begun="interrupted before it was run")
        results[number] = asked.judged(outcome, shelf)
    _mend(runnable, results, shelf, lambda asked: _outcomes(asked, runner, jobs, progress))
    return [results[number] for number in range(len(plan.asked))]


def _mend(
    asked: dict[int, Asked], results: dict[int, ExampleResult], shelf: Shelf,
    ask: Callable[[list[Asked]], dict[Key, Outcome]],
) -> None:  # fmt: skip
    """Says what is wrong with every example that broke, and runs it with the corrections that are known."""
    latest = {number: (one, results[number]) for number, one in asked.items() if results[number].status == "breaks"}
    for _ in range(CORRECTIONS):
        mended: dict[int, Asked] = {}
        for number, (one, result) in latest.items():
            found = diagnose(one.block, result)
            if found is None:
                continue
            first = results[number]
            results[number] = first.model_copy(update={
                "diagnosis": "; ".join(filter(None, (first.diagnosis, found.text))),
                "corrected": "\n".join(filter(None, (first.corrected, found.corrected))),
            })  # fmt: skip
            if found.mended is not None:
                mended[number] = replace(one, block=found.mended)
        outcomes = ask(list(mended.values())) if mended else {}
        latest = {
            number: (one, one.judged(outcomes[one.key], shelf)) for number, one in mended.items() if one.key in outcomes
        }
        for number, (_, result) in latest.items():
            results[number] = results[number].model_copy(update={"mended": result.status})


def _outcomes(asked: Sequence[Asked], runner: Runner, jobs: int, progress: Say) -> dict[Key, Outcome]:
    """Runs each code once in each stack; after an interruption only those that came to their end are there."""
    once = {each.key: each for each in reversed(asked)}
    outcomes: dict[Key, Outcome] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = {pool.submit(runner.run, each.block, each.stack): each for each in reversed(once.values())}
        progress("running", 0, len(waiting))
        for done, future in enumerate(as_completed(waiting), 1):
            each = waiting[future]
            outcomes[each.key] = future.result()
            progress(f"{each.stack.name} · {each.name}", done, len(waiting), outcomes[each.key].problem)
    except KeyboardInterrupt:
        runner.stop()
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes


def exit_code(report: DocsReport) -> int:
    """0: all hold or are not compared; 1: an example breaks or differs, or a page cannot be read; 2: none was run."""
    statuses = {example.status for example in report.examples}
    if statuses & {"breaks", "differs"}:
        return 1
    if not statuses - {"not run"}:
        return 2
    return 1 if any(source.error for source in report.sources if source.kind == "page") else 0
