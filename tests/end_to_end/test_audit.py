"""The audit of all fixtures in every stack that is installed, as CI runs it: every cell is what the baseline says.

``reports/baseline.json`` holds each cell's verdict and what it rests on, ``COVERAGE.md`` what was checked of each
documented class. After looking at what changed, both are renewed from one run (CONTRIBUTING.md, "The baseline").
"""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.core.backends import library_backends
from parity.core.records import Report
from parity.core.resources import fixture, fixtures
from parity.core.stacks import find
from parity.report.coverage import read_sections, sections
from tests.end_to_end.conftest import audited_once
from tests.end_to_end.verdicts import BACKENDS, unlike_the_baseline

pytestmark = pytest.mark.full
COVERAGE = Path(__file__).parents[2] / "COVERAGE.md"
STACKS = ["main", *(name for name in ("docs-4.37", "current") if find(name))]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One audit for all of pytest's workers; that it exits with 0 is made sure of."""
    stacks = [word for name in STACKS[1:] for word in ("--stack", name)]
    return audited_once(tmp_path_factory, "whole", fixtures(), *stacks, code=0)[1]


@pytest.mark.parametrize("stack", ["main", "docs-4.37", "current"])
def test_every_cell_is_what_the_baseline_says(report, stack):
    if stack not in STACKS:
        pytest.skip(f"the stack {stack} is not installed: python -m nox -s stack-{stack}")
    assert unlike_the_baseline(report, stack, STACKS) == []
    assert sections(report)[stack] == read_sections(COVERAGE.read_text(encoding="utf-8"))[stack]


def test_every_backend_is_asked_and_nothing_fails(report):
    assert report.totals.error == report.totals.fail == 0
    passed = {verdict.backend for verdict in report.verdicts if verdict.status == "pass" and verdict.stack == "main"}
    assert passed == BACKENDS


def test_with_a_warm_cache_nothing_is_computed_and_nothing_changes(report, audit):
    code, again = audit(fixtures())
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
