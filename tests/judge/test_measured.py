"""What judging measured is written down: each tensor once, with the numbers the verdict was made from."""

from __future__ import annotations

import numpy as np

from parity.core.records import MeasuredError, Report
from parity.judge import captured_run
from parity.judge.judge import judge
from tests.judge.checks.test_checks import arrays, off
from tests.judge.sample_runs import CANDIDATE, cells


def rows_of(report: Report, case: str = "forward") -> dict[str, MeasuredError]:
    found = [row for row in report.measured if row.case == case]
    assert len({row.tensor for row in found}) == len(found)
    return {row.tensor: row for row in found}


def test_every_tensor_of_a_judged_case_has_a_row_in_data_flow_order(run_directory):
    report = judge(run_directory(), checks=["numbers"])
    judged = {"forward", "forward.single-row", "forward.defaults", "loss", "gradients"}
    assert judged <= {row.case for row in report.measured}, "and those that set the noise floor"
    assert {(row.checkpoint, row.subject) for row in report.measured} == {("bart-odd", CANDIDATE)}
    forward = rows_of(report)
    assert next(iter(forward)) == "encoder.hidden.0" and list(forward)[-1] == "logits"
    assert list(rows_of(report, "loss"))[-1] == "loss"
    assert forward["encoder.attention.0"].kind == "attention"
    for row in report.measured:
        assert row.error is not None and row.error >= 0 and 0 < row.noise_floor < row.tolerance and row.ratio <= 1, row
        assert row.note == ""


def test_a_row_holds_the_number_of_its_verdict(run_directory):
    report = judge(run_directory({"forward": off("logits", 1e-2)}), checks=["NUM04"])
    (failed,) = cells(report, "NUM04", "fail")
    row = rows_of(report)["logits"]
    assert row.ratio == failed.error / failed.tolerance > 1
    assert row.error > row.tolerance
    assert row.at == list(failed.first_divergence.at.values())[: len(row.at)]
    assert rows_of(report)["decoder.hidden.2"].ratio <= 1


def test_states_have_a_number_for_each_position(run_directory):
    """The one that was changed stands out where it was changed, and in what follows of it."""
    at = (slice(None), 3)
    rows = rows_of(judge(run_directory({"forward": off("decoder.hidden.2", 1e-2, at)}), checks=["numbers"]))
    places = rows["decoder.hidden.2"].places
    assert len(places) == 7 and places[3] > 1 and max(places[:3]) <= 1
    assert len(rows["encoder.hidden.0"].places) == 11 and rows["encoder.attention.0"].places == []


def test_a_tensor_without_a_number_says_why(run_directory):
    def change(found: dict) -> None:
        found["logits"][0, 0, 0] = np.nan
        found["encoder.hidden.1"] = found["encoder.hidden.1"][:, :-1]
        del found["decoder.hidden.1"]

    rows = rows_of(judge(run_directory({"forward": arrays(change)}), checks=["numbers"]))
    assert rows["logits"].error is rows["logits"].ratio is None
    assert "not finite" in rows["logits"].note and rows["logits"].at == [0, 0]
    assert "has shape" in rows["encoder.hidden.1"].note
    assert "decoder.hidden.1" not in rows


def test_what_no_check_asked_for_is_not_measured(run_directory):
    assert judge(run_directory(), checks=["LOAD01"]).measured == []


def test_a_loss_that_is_undefined_has_no_row(run_directory):
    rows = rows_of(judge(run_directory(), checks=["LOSS03"]), "loss.all-ignored")
    assert "logits" in rows and "loss" not in rows


def test_a_noise_floor_that_cannot_be_read_leaves_the_rows_without_tolerances(run_directory):
    directory = run_directory()
    (directory / "traces" / "3.gradients.safetensors").write_bytes(b"no trace")
    report = judge(directory, checks=["NUM04"])
    assert {verdict.status for verdict in report.verdicts} == {"error"}
    assert rows_of(report)["logits"].tolerance is rows_of(report)["logits"].ratio is None
    assert rows_of(report)["logits"].error > 0


def test_cases_are_named_with_digests_and_shapes(run_directory, cases):
    report = judge(run_directory(), checks=["LOAD01"])
    found = {case.name: case for case in report.cases["bart-odd"]}
    assert list(found)[: len(cases)] == list(cases)
    assert found["forward"].digest == cases["forward"].digest
    assert found["forward"].shapes["input_ids"] == list(np.shape(cases["forward"].inputs["input_ids"]))
    assert found["load"].shapes == {}


def test_the_same_traces_are_measured_once(run_directory, monkeypatch):
    """However often the run is opened; another answer to the case is measured."""
    measured = []
    monkeypatch.setattr(captured_run, "_measured_before", {})
    original = captured_run._measured
    monkeypatch.setattr(captured_run, "_measured", lambda *given: (measured.append(given), original(*given))[1])
    first = judge(run_directory(), checks=["numbers"])
    once = len(measured)
    assert judge(run_directory(), checks=["numbers"]).measured == first.measured
    assert len(measured) == once > 0
    changed = judge(run_directory({"forward": off("logits", 1e-2)}), checks=["numbers"])
    assert len(measured) > once and changed.measured != first.measured
