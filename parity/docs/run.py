"""``parity docs``: finds examples, runs each in every stack, judges them, and writes down what became of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from parity import __version__
from parity.capture.probe import cores
from parity.docs import DocsError
from parity.docs.checkpoints import Real, StandIns
from parity.docs.dependence import read_all
from parity.docs.examples import Block, Source
from parity.docs.judging import judge, not_run
from parity.docs.pages import PageError, read_page
from parity.docs.results import BlockRecord, DocsReport, ExampleResult, Mode, SourceRecord, StackRecord, totals_of
from parity.docs.running import Outcome, Runner
from parity.docs.sources import look_into, names_of
from parity.docs.watching import snapshot, what_changed
from parity.stacks import Stack, resolve_stack

Say = Callable[[str, int, int], None]
"""Called with what is done, how many examples are done, and of how many."""
Code = tuple[str, ...]


@dataclass
class Asked:
    """One example in one stack."""

    name: str
    source: str
    stack: Stack
    block: Block

    @property
    def key(self) -> tuple[str, str, Code]:
        """The same code in the same stack is run once, however many docstrings hold it."""
        return self.stack.name, self.block.kind, tuple(each.code for each in self.block.statements)


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
    time_limit: float = 120.0,
    jobs: int | None = None,
    progress: Say = lambda what, done, total: None,
) -> DocsReport:
    """Runs the examples of pages, of installed docstrings, or both, in every stack. It runs code from these documents.

    Args:
        pages: files of Markdown or plain text.
        installed: also the docstrings of the documented classes of each stack's transformers.
        stacks: as for ``parity.api.audit``.
        checkpoints: ``stand-in``, or ``real`` for those of the user's hub cache.
        network: with ``real``, fetch what is not there.
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
    shelf = Real(network=network) if checkpoints == "real" else StandIns()
    folders = [Path.cwd(), Path.home()]
    try:
        for stack in chosen:
            progress(f"checkpoints for {stack.name}", 0, 0)
            shelf.lay_out(stack)
        before = snapshot(folders)
        runner = Runner(
            shelf.furnish, time_limit=time_limit, threads=max(1, cores() // jobs),
            cache=shelf.cache if isinstance(shelf, Real) and network else None,
        )  # fmt: skip
        results = _run_all(plan, shelf, runner, jobs, progress)
        changed = what_changed(before, snapshot(folders))
    finally:
        shelf.close()
    return DocsReport(
        parity_version=__version__, command=sys.argv, started=started, mode=checkpoints, stacks=plan.stacks,
        sources=plan.sources, examples=results, totals=totals_of(results),
        changed=changed, seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip


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
        progress(f"reading {stack.name}", 0, 0)
        found = look_into(stack, docstrings=installed)
        plan.stacks.append(
            StackRecord(name=stack.name, python=found.python, versions=found.versions, absent=found.absent)
        )
        for source in found.sources:
            plan.add(source, [stack], stack.name)
    return plan


def _run_all(plan: Plan, shelf: Real | StandIns, runner: Runner, jobs: int, progress: Say) -> list[ExampleResult]:
    groups: dict[tuple[str, str, Code], list[Asked]] = {}
    results: dict[int, ExampleResult] = {}
    for number, asked in enumerate(plan.asked):
        reason = shelf.lacks(read_all([each.code for each in asked.block.statements])[1], asked.stack)
        if reason:
            results[number] = not_run(asked.name, asked.source, asked.block, asked.stack.name, reason)
        else:
            groups.setdefault(asked.key, []).append(asked)
    outcomes: dict[tuple[str, str, Code], Outcome] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = {pool.submit(runner.run, group[0].block, group[0].stack): key for key, group in groups.items()}
        progress("running", 0, len(waiting))
        for done, future in enumerate(as_completed(waiting), 1):
            outcomes[waiting[future]] = future.result()
            first = groups[waiting[future]][0]
            progress(f"{first.stack.name} · {first.name}", done, len(waiting))
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    for number, asked in enumerate(plan.asked):
        if number not in results:
            standing_in = shelf.standing_in(asked.stack)
            results[number] = judge(
                asked.name, asked.source, asked.block, asked.stack.name, outcomes[asked.key], standing_in
            )
    return [results[number] for number in range(len(plan.asked))]


def exit_code(report: DocsReport) -> int:
    """0: all hold or are not compared; 1: an example breaks or differs, or a page cannot be read; 2: none was run."""
    statuses = {example.status for example in report.examples}
    if statuses & {"breaks", "differs"}:
        return 1
    if not statuses - {"not run"}:
        return 2
    return 1 if any(source.error for source in report.sources if source.kind == "page") else 0
