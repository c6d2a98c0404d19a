"""One fixture on five backends, from end to end: what everyone who changes something waits for."""

from __future__ import annotations

from parity.core.resources import fixture
from tests.end_to_end.verdicts import BACKENDS, unlike_the_baseline


def test_five_backends_give_the_verdicts_of_the_baseline(audit):
    # A classifier: it has a loss and half of the cells of a model that generates; it has no tokenizer.
    code, report = audit([fixture("bart-labels")])
    assert unlike_the_baseline(report, "main", ["main"]) == []
    assert code == 0 and report.totals.fail == report.totals.error == 0
    passed = {verdict.backend for verdict in report.verdicts if verdict.status == "pass"}
    assert passed == BACKENDS - {"hf-tokenizer", "hf-tokenizer-fast"}
