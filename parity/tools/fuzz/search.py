"""The search: examples drawn by hypothesis, family by family, until the time limit; failures are shrunk."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.records import Verdict
from parity.judge.checks import CHECKS
from parity.judge.judge import verdicts_of
from parity.tools.fuzz.coverage import Coverage
from parity.tools.fuzz.example import AUDITED, Example, drawn
from parity.tools.fuzz.executor import Live, Plan, Process, capture_live, is_alarm

PER_ROUND = 8
"""Number of examples of one family before the next family."""
SHRINKING = 40.0
"""Processor seconds for shrinking one failure."""


class Diverged(AssertionError):
    """An example failed; hypothesis shrinks examples that raise this."""


@dataclass(frozen=True)
class Wanted:
    """The failure of an example, which its smaller versions must reproduce."""

    check: str
    case: str
    backend: str
    variant: str
    known_issue: str = ""
    """The known issue that matches it; "" for an alarm."""

    @classmethod
    def of(cls, verdict: Verdict) -> Wanted:
        known_issue = verdict.evidence.get("known_issue", "")
        return cls(verdict.check, verdict.case, verdict.backend, verdict.variant, known_issue)


@dataclass
class Failure:
    """The smallest example found that reproduces a failure, and its verdict."""

    example: Example
    verdict: Verdict
    run: Live
    no_script: str = ""
    """Why there is no script of it, where there is none."""


@dataclass
class Found:
    """The results of a search."""

    seconds: float = 0.0
    cells: int = 0
    """Number of verdicts, without skipped cells."""
    nearest: float = 0.0
    """The largest error as a multiple of tolerance of anything that passed."""
    known: dict[str, int] = field(default_factory=dict)
    """By known issue, the number of cells that it explains."""
    failures: list[Failure] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    def count(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            self.cells += verdict.status != "skip"
            if verdict.status == "known":
                self.known[verdict.evidence["known_issue"]] = self.known.get(verdict.evidence["known_issue"], 0) + 1
            if verdict.status == "pass" and verdict.ratio is not None:
                self.nearest = max(self.nearest, verdict.ratio)


def judge_example(
    process: Process, plan: Plan, example: Example, wanted: Wanted | None = None
) -> tuple[Live, list[Verdict]]:
    """Writes an example's checkpoint, runs its cases and judges the results.

    Args:
        wanted: judge only this check and case of this candidate, and run only what they depend on.
    """
    with tempfile.TemporaryDirectory(prefix="parity-fuzz-") as folder:
        path = Path(folder) / example.family
        example.write(path)
        checkpoint = inspect_checkpoint(path)
        cases = example.cases(checkpoint)
        checks = list(CHECKS.values())
        if wanted is not None:
            checks, plan = [CHECKS[wanted.check]], plan.only(wanted.backend, wanted.variant)
            names = {wanted.case, *checks[0].depends_on}
            about_text = wanted.case.startswith(("generate", "score"))
            cases = [
                case
                for case in cases
                if case.name in names
                or case.notes.get("sets_noise_floor")
                or (about_text and case.operation.startswith("generat"))
            ]
        run = capture_live(process, plan, checkpoint, cases)
        return run, verdicts_of(run, checks)


class Choices:
    """The generator that ``drawn`` needs, implemented by hypothesis."""

    def __init__(self, data: Any) -> None:
        from hypothesis import strategies

        self._data, self._st = data, strategies

    def integers(self, low: Any, high: Any = None, size: Any = None) -> Any:
        import numpy as np

        numbers = self._st.integers(*((0, low - 1) if high is None else (low, high - 1)))
        return self._data.draw(numbers) if size is None else np.array([self._data.draw(numbers) for _ in range(size)])

    def random(self) -> float:
        return self._data.draw(self._st.integers(0, 99)) / 100

    def choice(self, options: Any) -> Any:
        return self._data.draw(self._st.sampled_from(list(options)))


class Search:
    """A running search.

    Args:
        known: the id of a known issue to be treated as a failure, in order to shrink it.
        progress: called for each example, with whether it belongs to a failure that is being shrunk.
        keep: called with each failure once it is shrunk.
    """

    def __init__(
        self,
        process: Process,
        plan: Plan,
        architectures: Sequence[str] = AUDITED,
        *,
        seed: int = 0,
        known: str = "",
        progress: Callable[[Found, str], None] = lambda found, doing: None,
        keep: Callable[[Failure], Any] = lambda failure: None,
    ) -> None:
        self.process, self.plan, self.architectures = process, plan, tuple(architectures)
        self.seed, self.known, self.progress, self.keep = seed, known, progress, keep
        self.found = Found()
        self._seen: set[tuple[str, ...]] = set()

    def run(self, *, seconds: float | None = None, examples: int | None = None, failures: int = 8) -> Found:
        """Runs until the time limit, the number of examples, or the number of different failures is reached."""
        began = time.monotonic()
        self._deadline = None if seconds is None else began + seconds
        self._left = examples
        for number, architecture in self._turns():
            self._round(architecture, number)
            self.found.seconds = time.monotonic() - began
            if self._over() or len(self.found.failures) >= failures:
                return self.found
        return self.found

    def _turns(self) -> Iterator[tuple[int, str]]:
        number = 0
        while True:
            for architecture in self.architectures:
                yield number, architecture
                number += 1

    def _over(self) -> bool:
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return late or (self._left is not None and self._left <= 0)

    def _round(self, architecture: str, number: int) -> None:
        """A few examples of one family; the first failure is shrunk and stored."""
        from hypothesis import HealthCheck, Phase, given, seed, settings
        from hypothesis import strategies as st
        from hypothesis.errors import HypothesisException

        smallest: list[Failure] = []
        since: list[float] = []

        @seed(random.Random(f"{self.seed} {number}").getrandbits(32))
        @settings(
            max_examples=PER_ROUND,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType] (its metaclass is untyped)
            phases=(Phase.generate, Phase.shrink),
        )
        @given(st.data())
        def holds(data: Any) -> None:
            choices = Choices(data)
            example = drawn(choices, choices, architecture)
            if (not smallest and self._over()) or (since and time.process_time() - since[0] > SHRINKING):
                return
            failure = self._smaller(example, smallest[0]) if smallest else self._judge(example)
            if failure is None:
                return
            since.append(time.process_time())
            if not smallest or failure.example.size < smallest[0].example.size:
                smallest[:] = [failure]
            raise Diverged

        try:
            holds()
        except (Diverged, HypothesisException, ExceptionGroup):
            # After the time limit for shrinking nothing fails any more, which hypothesis calls flaky.
            if not smallest:
                raise
        if smallest:
            self.keep(smallest[0])
            self.found.failures.append(smallest[0])
            self._seen.add(self._kind(smallest[0].verdict))

    def _judge(self, example: Example) -> Failure | None:
        """Runs all cases of one example; returns the first of its failures that was not found before."""
        self.progress(self.found, example.family)
        run, verdicts = judge_example(self.process, self.plan, example)
        self.found.count(verdicts)
        self.found.coverage.add(example)
        if self._left is not None:
            self._left -= 1
        for verdict in verdicts:
            if self._counts(verdict) and self._kind(verdict) not in self._seen:
                return Failure(example, verdict, run)
        return None

    def _counts(self, verdict: Verdict) -> bool:
        if self.known:
            return verdict.status == "known" and verdict.evidence["known_issue"] == self.known
        return is_alarm(verdict)

    def _kind(self, verdict: Verdict) -> tuple[str, ...]:
        """Identifies a failure: two failures with equal values count as one."""
        return verdict.check, verdict.backend, verdict.variant, verdict.status

    def _smaller(self, example: Example, than: Failure) -> Failure | None:
        """The same failure in a smaller example, if it is reproduced there."""
        self.progress(self.found, f"{example.family}, smaller")
        run, verdicts = judge_example(self.process, self.plan, example, Wanted.of(than.verdict))
        alike = (than.verdict.case, than.verdict.status)
        same = [verdict for verdict in verdicts if (verdict.case, verdict.status) == alike and self._counts(verdict)]
        return Failure(example, same[0], run) if same else None
