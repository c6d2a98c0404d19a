"""The audit of all fixtures in every stack that is installed, as CI runs it: every cell is what the baseline says.

``reports/baseline.json`` holds each cell's verdict and what it rests on, ``COVERAGE.md`` what was checked of each
documented class. After looking at what changed, both are renewed from one run (CONTRIBUTING.md, "The baseline").

All fixtures in all stacks are audited only if PARITY_TEST_EVERYTHING is 1, as on GitHub, where four machines share the
tests: compiling each for two versions of JAX takes most of an hour on two cores. Elsewhere every BART and
``COMPOSITIONS`` are audited in the stacks without an older JAX, and ``IN_EVERY_STACK`` in that one too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from parity.core.backends import library_backends
from parity.core.records import Report
from parity.core.resources import fixture, fixtures
from parity.core.stacks import find
from parity.report.coverage import read_sections, sections
from tests.end_to_end.conftest import audited_once
from tests.end_to_end.verdicts import BACKENDS, unlike_the_baseline
from tests.selection import EVERYTHING

pytestmark = pytest.mark.full
COVERAGE = Path(__file__).parents[2] / "COVERAGE.md"
STACKS = ["main", *(name for name in ("docs-4.37", "current") if find(name))]
COMPOSITIONS = ("bert2bert", "bert2gpt2", "wav2vec2-bert")
"""Fixtures that are always audited beside every BART: a composition of each kind."""
IN_EVERY_STACK = ("bart-odd", "bart-causal")
"""Fixtures that are always audited in every stack."""
OLDER = "docs-4.37"
"""The stack in which only these are audited."""


@dataclass(frozen=True)
class Part:
    """One audit of some fixtures, and the stacks that they were audited in."""

    report: Report
    stacks: list[str]


def parts() -> dict[str, tuple[list[Path], list[str]]]:
    """By the name of an audit its fixtures and stacks."""
    if EVERYTHING:
        return {"whole": (fixtures(), STACKS)}
    everywhere = [fixture(name) for name in IN_EVERY_STACK]
    barts = [path for path in fixtures() if path.name.startswith("bart-") and path not in everywhere]
    rest = [*barts, *(fixture(name) for name in COMPOSITIONS)]
    return {"everywhere": (everywhere, STACKS), "rest": (rest, [name for name in STACKS if name != OLDER])}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    """One audit of each part for all of pytest's workers; that it exits with 0 is made sure of."""
    found = []
    for name, (paths, stacks) in parts().items():
        options = [word for stack in stacks[1:] for word in ("--stack", stack)]
        found.append(Part(audited_once(tmp_path_factory, name, paths, *options, code=0)[1], stacks))
    return found


@pytest.fixture(scope="module")
def report(audited: list[Part]) -> Report:
    """All parts as one."""
    first, *others = (part.report for part in audited)
    return first.model_copy(update={"verdicts": [*first.verdicts, *(v for each in others for v in each.verdicts)]})


@pytest.mark.parametrize("stack", ["main", "docs-4.37", "current"])
def test_every_cell_is_what_the_baseline_says(audited, report, stack):
    if stack not in STACKS:
        pytest.skip(f"the stack {stack} is not installed: python -m nox -s stack-{stack}")
    for part in audited:
        if stack in part.stacks:
            assert unlike_the_baseline(part.report, stack, part.stacks) == []
    written = read_sections(COVERAGE.read_text(encoding="utf-8"))[stack]
    assert covered(sections(report)[stack]) == covered(written)


def covered(section: str) -> list[str]:
    """The rows of a section of ``COVERAGE.md``: all, or those of the class whose one fixture is in every stack."""
    rows = section.splitlines()
    found = rows if EVERYTHING else [row for row in rows if re.match(r"\| `(Flax)?BartForCausalLM`", row)]
    assert found
    return found


def test_every_backend_is_run_and_nothing_fails(audited, report):
    for part in audited:
        assert part.report.totals.error == part.report.totals.fail == 0
    passed = {verdict.backend for verdict in report.verdicts if verdict.status == "pass" and verdict.stack == "main"}
    assert passed == BACKENDS


def test_with_a_warm_cache_nothing_is_computed_and_nothing_changes(report, audit):
    code, again = audit([path for paths, _ in parts().values() for path in paths])
    assert code == 0 and again.cost.traces_captured == 0
    assert unlike_the_baseline(again, "main", ["main"]) == []
    before = {cell(verdict): (verdict.status, verdict.error) for verdict in report.verdicts}
    assert all(before[cell(verdict)] == (verdict.status, verdict.error) for verdict in again.verdicts)


def cell(verdict) -> tuple[str, ...]:
    return (
        verdict.checkpoint,
        verdict.check,
        verdict.case,
        verdict.model_class,
        verdict.backend,
        verdict.variant,
        verdict.stack,
    )


@pytest.mark.skipif(find("current") is None, reason="the stack current is not installed: nox -s stack-current")
def test_a_library_that_a_stack_lacks_is_named_when_it_is_asked_for(audit):
    documented = [name for component in ("model", "config", "tokenizer") for name in library_backends(component)]
    libraries = [option for name in documented for option in ("--backend", name)]
    code, report = audit([fixture("bart-odd")], *libraries, "--stack", "current", codes=(2,))
    # Of what is named here, transformers 5 has PyTorch's classes alone.
    gone = [line.partition(":")[0] for line in report.not_run]
    assert (code, gone) == (2, [f"{name} cannot run in current" for name in ("hf-tf", "hf-flax")])
    assert unlike_the_baseline(report, "current", ["main", "current"]) == []


def test_strict_fails_on_known_divergences_that_are_critical(audit):
    code, report = audit([path for path in fixtures() if path.name == "bart-untied"], "--strict")
    failed = {verdict.evidence.get("severity") for verdict in report.verdicts if verdict.status == "fail"}
    assert code == 1 and failed == {"critical"}
