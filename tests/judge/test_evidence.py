"""What a check sees of a run: the subject's traces, the oracle's, and each error with its tolerance."""

from __future__ import annotations

import pytest

from parity.judge.captured_run import CheckpointRun
from parity.judge.evidence import Evidence
from parity.judge.results import Comparison, Finding
from tests.judge.sample_runs import CANDIDATE


@pytest.fixture
def evidence(run_directory):
    """Evidence about one case of the candidate's, whose traces ``alter`` changes."""

    def make(case: str = "forward", alter: dict | None = None) -> Evidence:
        (run,) = CheckpointRun.open_all(run_directory(alter))[1]
        return Evidence(run, CANDIDATE, run.manifest.subjects[CANDIDATE], run.cases[case])

    return make


def dropped(name: str):
    def alter(trace):
        del trace.arrays[name]
        return trace

    return alter


def shifted(name: str, by: float):
    def alter(trace):
        trace.arrays[name][1, 2] += by
        return trace

    return alter


def test_an_conforming_answer_is_within_tolerance_tensor_by_tensor_in_the_order_of_the_data(evidence):
    seen = evidence()
    results = list(seen.against_oracle())
    assert [result.tensor for result in results] == [spec.name for spec in seen.expected_tensors()]
    assert all(isinstance(result, Comparison) and result.ok and not result.vacuous for result in results)
    assert [each.tensor for each in seen.against_oracle("logits")] == ["logits"] == [seen.answer]


def test_an_altered_tensor_is_out_of_tolerance_where_it_was_altered(evidence):
    (result,) = evidence(alter={"forward": shifted("logits", 1.0)}).against_oracle("logits")
    assert not result.ok and result.against_oracle
    assert (result.at["batch"], result.at["tgt"], result.first_step) == (1, 2, 2)
    assert result.slices_over == 1 and result.over_at[0] == {"batch": 1, "tgt": 2}


def test_a_tensor_that_was_not_returned_is_a_finding(evidence):
    (result,) = evidence(alter={"forward": dropped("logits")}).against_oracle("logits")
    assert result == Finding(False, "logits was not returned", "logits")


def test_a_trace_that_is_not_there_is_a_bug_of_the_check(evidence):
    seen = evidence(alter={"loss": lambda trace: None})
    assert seen.trace.arrays.keys() >= {"logits"}
    with pytest.raises(LookupError, match="no trace of 'loss' for hf-torch: name it in the check's"):
        seen.trace_of("loss")


def test_two_answers_of_one_backend_may_each_be_a_tolerance_away(evidence):
    seen = evidence()
    results = list(seen.between("forward", "forward", lambda spec: (), lambda spec: ()))
    assert results and all(result.ok and result.error == 0 and not result.against_oracle for result in results)
    for result in results:
        assert result.tolerance in (2 * seen.tolerance(result.tensor).slice, 2 * seen.tolerance(result.tensor).element)
