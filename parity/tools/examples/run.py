"""``parity doctest``: finds examples, runs each in every stack, judges them, and records the results."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from parity.capture.worker.environment import cores
from parity.core.stacks import Stack, resolve_stack
from parity.core.version import __version__
from parity.tools.examples import DocsError
from parity.tools.examples.checkpoints import CheckpointProvider, Real, StandIns
from parity.tools.examples.dependence import ids_of
from parity.tools.examples.execute import Execution, Say, Target
from parity.tools.examples.home_changes import snapshot, what_changed
from parity.tools.examples.model import Source
from parity.tools.examples.outcome_store import OutcomeStore
from parity.tools.examples.pages import PageError, read_page
from parity.tools.examples.process import Runner
from parity.tools.examples.results import BlockRecord, DocsReport, Mode, SourceRecord, StackRecord, totals_of
from parity.tools.examples.sources import look_into, names_of


@dataclass
class Plan:
    """The examples that were found and will be run."""

    sources: list[SourceRecord] = field(default_factory=list)
    stacks: list[StackRecord] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add(self, source: Source, stacks: Sequence[Stack], of_stack: str | None) -> None:
        examples = source.examples()
        names = {id(block): name for name, block in examples}
        self.sources.append(
            SourceRecord(
                name=source.name,
                kind=source.kind,
                stack=of_stack,
                notes=list(source.notes),
                error="" if source.blocks else "no code",
                blocks=[
                    BlockRecord(
                        line=block.line,
                        kind=block.kind,
                        example=names.get(id(block)),
                        statements=len(block.statements),
                        reason=block.reason,
                        notes=list(block.notes),
                    )
                    for block in source.blocks
                ],
            )
        )
        blocks = tuple(block for _, block in examples)
        self.targets += [
            Target(name, source.name, stack, block, blocks[:number])
            for stack in stacks
            for number, (name, block) in enumerate(examples)
        ]


def docs(
    pages: Sequence[Path] = (),
    *,
    installed: bool = False,
    stacks: Sequence[str] = ("main",),
    checkpoints: Mode = "stand-in",
    network: bool = False,
    only: Sequence[str] = (),
    time_limit: float = 120.0,
    memory_limit: float = 6.0,
    jobs: int | None = None,
    keep: Path | None = None,
    progress: Say = lambda what, done=0, total=0, problem="": None,
) -> DocsReport:
    """Runs the examples of pages, of installed docstrings, or both, in every stack. It runs code from these documents.

    Args:
        pages: files of Markdown, reStructuredText, plain text, or Python.
        installed: also the docstrings of the documented classes of each stack's transformers.
        stacks: as for ``parity.api.audit``.
        checkpoints: ``stand-in``, or ``real`` for those in the user's hub cache.
        network: with ``real``, download what is missing.
        only: names of examples, or their prefixes: ``BartModel``, ``BartModel.forward#1``, ``bart.md:53``.
        time_limit: seconds for each example.
        memory_limit: gigabytes that one example may use, including its child processes.
        jobs: maximum number of parallel examples; by default the number of cores.
        keep: folder for storing results, so that the same call can continue after an interruption; None: not stored.

    Raises:
        DocsError: there is nothing to run, or a stack cannot be inspected.
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
    plan = _plan(list(dict.fromkeys(pages)), installed, chosen, progress)
    if not plan.targets:
        whys = [f"{each.name}: {each.error}" for each in plan.sources if each.error]
        raise DocsError("nothing to run: " + ("; ".join(whys) or "no example"))
    names = list(dict.fromkeys(target.name for target in plan.targets))
    for wanted in only:
        if not any(is_called(name, wanted) for name in names):
            others = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise DocsError(f"{wanted}: no example is called so; there are {', '.join(names[:3])}{others}")
    if only:
        plan.targets = [target for target in plan.targets if any(is_called(target.name, wanted) for wanted in only)]
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DocsError(f"{keep.parent}: cannot be written: {error.strerror}") from error
    shelf: CheckpointProvider = Real(network=network) if checkpoints == "real" else StandIns()
    folders = [Path.cwd(), Path.home()]
    try:
        for stack in chosen:
            blocks = [target.block for target in plan.targets if target.stack == stack and ids_of(target.block)]
            if blocks:
                progress(f"checkpoints for {stack.name}")
                shelf.prepare(stack, blocks)
        before = snapshot(folders)
        threads = max(1, cores() // jobs)
        runner = Runner(
            shelf.install, time_limit=time_limit, memory_limit=memory_limit, threads=threads, cache=shelf.fills
        )
        facts = {record.name: f"{record.python} {record.versions}" for record in plan.stacks}
        facts = {stack.name: f"{stack.interpreter} {facts[stack.name]}" for stack in chosen}
        results = Execution(shelf, runner, OutcomeStore(keep, time_limit, memory_limit), facts, jobs, progress).results(
            plan.targets
        )
        changed = what_changed(before, snapshot(folders))
    finally:
        shelf.close()
    return DocsReport(
        parity_version=__version__,
        command=sys.argv,
        started=started,
        mode=checkpoints,
        stacks=plan.stacks,
        sources=plan.sources,
        examples=results,
        totals=totals_of(results),
        changed=changed,
        interrupted=runner.stopped,
        seconds=round(time.monotonic() - began, 1),
    )


def is_called(name: str, wanted: str) -> bool:
    """Whether an example's name equals the requested one, or begins with it at a boundary."""
    return name == wanted or name.startswith((f"{wanted}.", f"{wanted}#", f"{wanted}:"))


def _plan(pages: Sequence[Path], installed: bool, stacks: Sequence[Stack], progress: Say) -> Plan:
    plan = Plan()
    names = names_of(pages)
    for path in pages:
        try:
            source = read_page(path, names[path])
        except PageError as error:
            why = str(error).removeprefix(f"{path}: ")
            plan.sources.append(SourceRecord(name=str(path), kind="page", error=why))
            continue
        plan.add(source, stacks, None)
    if not installed and not plan.targets:
        return plan
    for stack in stacks:
        progress(f"reading {stack.name}")
        found = look_into(stack, docstrings=installed)
        plan.stacks.append(
            StackRecord(name=stack.name, python=found.python, versions=found.versions, absent=found.absent)
        )
        for source in found.sources:
            plan.add(source, [stack], stack.name)
    return plan


def exit_code(report: DocsReport) -> int:
    """0: all hold or are not compared; 1: an example breaks or differs, or a page cannot be read; 2: none was run."""
    statuses = {example.status for example in report.examples}
    if statuses & {"breaks", "differs"}:
        return 1
    if not statuses - {"not run"}:
        return 2
    return 1 if any(source.error for source in report.sources if source.kind == "page") else 0
