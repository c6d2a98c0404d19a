"""What a check yielded becomes one verdict: a failure before anything undecided, and never a pass that says nothing."""

from __future__ import annotations

import math

import pytest

from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.judge.results import Comparison, Finding, Undecided
from parity.judge.verdicts import Cell, from_results, make_verdict
from tests.judge.sample_runs import CANDIDATE


def comparison(error: float, tensor: str = "logits", **fields) -> Comparison:
    return Comparison(tensor, error, 1e-6, "slice", {"batch": 1, "tgt": 2}, **fields)


@pytest.fixture
def cell(run_directory) -> Cell:
    (run,) = CheckpointRun.open_all(run_directory())[1]
    subject = run.manifest.subjects[CANDIDATE]
    return Cell(run, CHECKS["NUM04"], run.cases["forward"], CANDIDATE, subject)


def test_nothing_compared_is_an_error(cell):
    verdict = from_results(cell, [])
    assert verdict.status == "error" and "compared nothing" in verdict.reason


def test_a_pass_has_the_nearest_of_its_comparisons(cell):
    verdict = from_results(cell, [comparison(2e-7), comparison(9e-7), Finding(True, "")])
    assert (verdict.status, verdict.reason, verdict.error, verdict.tolerance) == ("pass", "", 9e-7, 1e-6)
    assert verdict.evidence["compared"] == 3 and "reproduce" not in verdict.evidence


def test_a_failure_says_where_by_how_much_and_how_to_see_it_again(cell):
    verdict = from_results(cell, [comparison(1e-7), comparison(5e-6), comparison(7e-6, "loss")])
    assert verdict.status == "fail"
    assert verdict.reason == "logits at [batch 1, tgt 2] is 5 × tolerance from the backend's other output (and 1 more)"
    assert (verdict.first_divergence.tensor, verdict.first_divergence.error) == ("logits", 5e-6)
    assert verdict.evidence["tensors"] == ["logits", "loss"] and verdict.evidence["failed"] == 2
    assert verdict.evidence["reproduce"] == "parity audit bart-odd --backend hf-torch/eager --check NUM04"


def test_a_fact_that_is_wrong_names_its_tensor(cell):
    verdict = from_results(cell, [Finding(True, ""), Finding(False, "logits was not returned", "logits")])
    assert (verdict.status, verdict.reason) == ("fail", "logits was not returned")
    assert (verdict.error, verdict.first_divergence.tensor) == (None, "logits")


def test_what_could_not_have_failed_or_was_not_decided_is_an_error(cell):
    vacuous = comparison(1e-7, vacuous=True)
    assert "vacuous: the tolerance of logits" in from_results(cell, [vacuous]).reason
    undecided = Undecided("two dialects explain it")
    for results in ([undecided, comparison(1e-7)], [vacuous, undecided]):
        verdict = from_results(cell, results)
        assert (verdict.status, verdict.reason) == ("error", "two dialects explain it")
    assert from_results(cell, [undecided, vacuous, comparison(2e-6)]).status == "fail", "what is wrong comes first"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_a_failure_without_a_number(cell, value):
    verdict = from_results(cell, [comparison(value)])
    assert verdict.status == "fail" and "logits at [batch 1, tgt 2] is not finite" in verdict.reason
    assert verdict.error is None and verdict.first_divergence.error is None


def test_details_that_are_no_field_become_evidence(cell):
    verdict = make_verdict(cell, "skip", "labels: no such argument", error=1.0, seen=3)
    assert (verdict.error, verdict.evidence) == (1.0, {"seen": 3})
    assert (verdict.check, verdict.case, verdict.backend) == ("NUM04", "forward", "hf-torch")
