"""The five-backend audit of the fixtures: its whole table of verdicts, so that CI gates the product itself.

``verdicts.txt`` holds one line for every cell that is not ``pass``, and the totals; ``COVERAGE.md`` what was checked of
each documented class. Rewrite both after looking at what changed:
``PARITY_REWRITE_VERDICTS=1 python -m pytest tests/end_to_end/test_audit.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from parity.core.backends import library_backends
from parity.core.records import Report
from parity.core.resources import fixtures
from parity.core.stacks import find
from parity.report.coverage import read_sections, renew, sections

EXPECTED = Path(__file__).with_name("verdicts.txt")
COVERAGE = Path(__file__).parents[2] / "COVERAGE.md"
BACKENDS = {
    "reference-torch",
    "reference-flax",
    "hf-torch",
    "hf-tf",
    "hf-flax",
    "hf-config",
    "hf-tokenizer",
    "hf-tokenizer-fast",
    "file",
}


def table(report: Report) -> str:
    totals = [f"{status} {count}" for status, count in report.totals.model_dump(by_alias=True).items()]
    return "\n".join([rows(report), *totals]) + "\n"


def rows(report: Report) -> str:
    found = []
    for verdict in report.verdicts:
        if verdict.status != "pass":
            why = verdict.evidence.get("ledger") or verdict.reason.partition(":")[0]
            who = f"{verdict.backend}/{verdict.variant}"
            found.append(f"{verdict.checkpoint} {verdict.check} {verdict.case} {who} {verdict.status} {why}")
    return "\n".join(sorted(found)) + "\n"


def test_five_backends_give_the_expected_table_of_verdicts(audit):
    code, report = audit(fixtures())
    found = table(report)
    if os.environ.get("PARITY_REWRITE_VERDICTS"):
        EXPECTED.write_text(found, encoding="utf-8")
        renew(COVERAGE, report)
    assert found == EXPECTED.read_text(encoding="utf-8")
    assert sections(report)["main"] == read_sections(COVERAGE.read_text(encoding="utf-8"))["main"]
    assert code == 0 and report.totals.error == report.totals.fail == 0
    assert {verdict.backend for verdict in report.verdicts if verdict.status == "pass"} == BACKENDS

    # Again with warm caches: nothing is computed, nothing changes.
    code, again = audit(fixtures())
    assert (code, table(again)) == (0, found)
    assert again.cost.traces_captured == 0


@pytest.mark.parametrize("stack", ["docs-4.37", "current"])
def test_another_stack_gives_its_expected_table_of_verdicts(audit, stack):
    """The library's classes of another release, by the same oracle; cells of `main` are judged above."""
    if find(stack) is None:
        pytest.skip(f"the stack {stack} is not installed: python -m nox -s stack-{stack}")
    documented = [name for about in ("model", "config", "tokenizer") for name in library_backends(about)]
    libraries = [option for name in documented for option in ("--backend", name)]
    # Of what is named here, transformers 5 has PyTorch's classes alone.
    code, report = audit(fixtures(), *libraries, "--stack", stack, codes=(0, 2))
    gone = [line.partition(":")[0] for line in report.not_run]
    assert (code, gone) == (
        (2, [f"{name} cannot run in current" for name in ("hf-tf", "hf-flax")]) if stack == "current" else (0, [])
    )
    report = report.model_copy(update={"verdicts": [each for each in report.verdicts if each.stack == stack]})
    found, expected = rows(report), EXPECTED.with_name(f"verdicts-{stack}.txt")
    if os.environ.get("PARITY_REWRITE_VERDICTS"):
        expected.write_text(found, encoding="utf-8")
        renew(COVERAGE, report)
    assert found == expected.read_text(encoding="utf-8")
    assert sections(report)[stack] == read_sections(COVERAGE.read_text(encoding="utf-8"))[stack]
    assert not [verdict for verdict in report.verdicts if verdict.status in ("fail", "error")]


def test_strict_fails_on_known_divergences_that_are_critical(audit):
    code, report = audit([path for path in fixtures() if path.name == "bart-untied"], "--strict")
    failed = {verdict.evidence.get("severity") for verdict in report.verdicts if verdict.status == "fail"}
    assert code == 1 and failed == {"critical"}
