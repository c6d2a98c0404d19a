"""Runs examples in stacks, several at a time: stored results are reused, and failing examples also run corrected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Protocol

from parity.core.stacks import Stack
from parity.tools.examples.checkpoints import CheckpointProvider
from parity.tools.examples.dependence import ids_of
from parity.tools.examples.diagnosis import diagnose
from parity.tools.examples.earlier_names import goes_on_from
from parity.tools.examples.judging import judge, not_run
from parity.tools.examples.model import Block
from parity.tools.examples.outcome_store import OutcomeStore
from parity.tools.examples.process import LOOK_EVERY, Outcome, Runner
from parity.tools.examples.results import ExampleResult

Key = tuple[str, str, tuple[str, ...]]
"""Identifies code that is run once: stack, kind of block, code."""
CORRECTIONS = 3
"""Maximum number of successive corrections of one example."""


class Say(Protocol):
    """Callback for the progress of a run."""

    def __call__(self, what: str, done: int = 0, total: int = 0, problem: str = "") -> None:
        """The current step, the number of finished examples, their total, and the problem of the last one."""


@dataclass(frozen=True)
class Target:
    """One example in one stack."""

    name: str
    source: str
    stack: Stack
    block: Block
    earlier: tuple[Block, ...] = ()
    """The examples before it on its page or in its docstring."""

    @property
    def key(self) -> Key:
        """The same code in the same stack is run once, however many docstrings contain it."""
        return self.stack.name, self.block.kind, tuple(each.code for each in self.block.statements)


@dataclass
class Execution:
    """Runs examples and judges their results.

    Args:
        facts: by stack, what an outcome depends on: its interpreter and versions.
        jobs: maximum number of examples that run in parallel.
    """

    shelf: CheckpointProvider
    runner: Runner
    store: OutcomeStore
    facts: dict[str, str]
    jobs: int
    progress: Say

    def results(self, targets: Sequence[Target]) -> list[ExampleResult]:
        """The results in order: each example is run where possible, then corrected where a correction is known."""
        lacking = [self.shelf.lacks(ids_of(each.block), each.stack) for each in targets]
        outcomes = self._outcomes([each for each, lacks in zip(targets, lacking, strict=True) if not lacks])
        results = [self._judged(each, outcomes, lacks) for each, lacks in zip(targets, lacking, strict=True)]
        broken = {n: (each, results[n]) for n, each in enumerate(targets) if results[n].status == "breaks"}
        for _ in range(CORRECTIONS):
            if self.runner.stopped:
                break
            broken = self._mend(broken, results)
        return results

    def _mend(
        self, broken: dict[int, tuple[Target, ExampleResult]], results: list[ExampleResult]
    ) -> dict[int, tuple[Target, ExampleResult]]:
        """Adds a diagnosis to the results of failed examples; returns the results of those that could be corrected."""
        mended: dict[int, Target] = {}
        for number, (each, result) in broken.items():
            found = diagnose(each.block, result) or goes_on_from(result, each.earlier)
            if found is None:
                continue
            first = results[number]
            before = still_so(first.corrected, found.mended or each.block)
            results[number] = first.model_copy(
                update={
                    "diagnosis": "; ".join(filter(None, (first.diagnosis, found.text))),
                    "corrected": "\n".join(filter(None, (*before, found.corrected))),
                }
            )
            if found.mended is not None:
                mended[number] = replace(each, block=found.mended)
        for each in mended.values():
            # A correction may name another checkpoint.
            if ids_of(each.block):
                self.shelf.prepare(each.stack, [each.block])
        outcomes = self._outcomes(list(mended.values())) if mended else {}
        again = {number: (each, self._judged(each, outcomes)) for number, each in mended.items()}
        for number, (_, result) in again.items():
            correction = {"mended": result.status, "mended_reason": result.reason}
            results[number] = results[number].model_copy(update=correction)
        return again

    def _judged(self, target: Target, outcomes: dict[Key, Outcome], lacks: str = "") -> ExampleResult:
        if lacks:
            return not_run(target.name, target.source, target.block, target.stack.name, lacks)
        outcome = outcomes.get(target.key) or Outcome(not_begun="interrupted before it was run")
        standing_in = self.shelf.standing_in(target.stack)
        return judge(target.name, target.source, target.block, target.stack.name, outcome, standing_in)

    def _outcomes(self, targets: Sequence[Target]) -> dict[Key, Outcome]:
        """Runs each code once in each stack; after an interruption the result contains only examples that finished."""
        once = {each.key: each for each in reversed(targets)}
        store = {key: self.store.find(each.block, *self._about(each)) for key, each in once.items()}
        outcomes = {key: outcome for key, outcome in store.items() if outcome is not None}
        missing = [each for each in reversed(once.values()) if each.key not in outcomes]
        with self.runner.stopping(), ThreadPoolExecutor(self.jobs) as pool:
            try:
                waiting = {pool.submit(self.runner.run, each.block, each.stack): each for each in missing}
                self.progress("running", len(outcomes), len(once))
                for future in self._finished(waiting):
                    each, outcome = waiting[future], future.result()
                    self.store.keep(outcome, each.block, *self._about(each))
                    outcomes[each.key] = outcome
                    self.progress(f"{each.stack.name} · {each.name}", len(outcomes), len(once), outcome.problem)
            except BaseException:
                self.runner.stop()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        return outcomes

    def _finished(self, running: Iterable[Future[Outcome]]) -> Iterator[Future[Outcome]]:
        """The futures as they finish, until the run is stopped.

        It waits in short steps: Python calls a signal's handler between two steps of the main thread, and a signal
        that arrives just before a wait without a limit would be seen only after it.
        """
        left = set(running)
        while left:
            done, left = wait(left, LOOK_EVERY, FIRST_COMPLETED)
            for future in done:
                if self.runner.stopped:
                    return
                yield future

    def _about(self, target: Target) -> tuple[str, str]:
        return self.facts[target.stack.name], self.shelf.about(target.block, target.stack)


def still_so(corrected: str, block: Block) -> list[str]:
    """The lines of earlier corrections that a block still contains: a later one may have changed the same statement."""
    code = "".join(each.code for each in block.statements)
    return [line for line in corrected.splitlines() if line.removeprefix("... ") in code]
