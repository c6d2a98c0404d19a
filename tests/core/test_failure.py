"""Failures of a report: what identifies them, and the arrays that are loaded from the run directory."""

from __future__ import annotations

import doctest
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import parity.core.failure
import parity.core.records
from parity import Failure, InputError, Report, read_report
from parity.core.records import Divergence, Verdict, in_directory, write_record
from parity.core.trace import Trace, TraceError
from tests.judge.sample_runs import write_facts
from tests.sample_reports import BART, checkpoint, failure, report, subject, verdict

TENSOR = "encoder.hidden.1"
SUBJECTS = [
    subject("reference-torch", role="oracle", dtype="float64"),
    subject("hf-torch", role="noise_floor"),
    subject("hf-torch/sdpa"),
    subject("hf-torch"),
]


def failed(**fields: Any) -> Verdict:
    first = Divergence(tensor=TENSOR, at={"batch": 2, "src": 8}, error=1.694e-4, tolerance=1.1e-6, inputs_within=0.29)
    usual = {
        "backend": "hf-torch",
        "error": first.error,
        "tolerance": first.tolerance,
        "first_divergence": first,
        "evidence": {"reproduce": "parity audit fixtures/checkpoints/bart-odd --backend hf-torch/eager --check NUM01"},
    }
    return failure(**{**usual, **fields})


@pytest.fixture
def judged(tmp_path) -> Report:
    """The report of a run in which one value of ``hf-torch`` is wrong, beside the traces of other subjects."""
    run = tmp_path / "run"
    right = np.linspace(-1, 1, 108).reshape(3, 9, 4)
    wrong = right.astype(np.float32)
    wrong[2, 8, 3] += 4.1e-4
    answers = {(0, "forward"): right, (1, "forward"): 0 * wrong, (2, "forward"): 0 * wrong, (3, "forward"): wrong}
    traces = {key: Trace({TENSOR: array}) for key, array in answers.items()}
    record: Any = SimpleNamespace(name="bart-odd", config={}, model_class=BART)
    write_facts(run, record, SUBJECTS, [], traces)
    made = report(verdict(), failed(), subjects=SUBJECTS, checkpoints=[checkpoint("bart-odd")])
    write_record(made, run / "report.json")
    return in_directory(made, run)


@pytest.mark.parametrize("module", [parity.core.failure, parity.core.records])
def test_the_examples_of_the_documentation_run(judged, module):
    pytest.importorskip("pandas")
    globs = {"report": judged, **vars(module)}
    failures, tried = doctest.testmod(module, globs=globs)
    assert tried and not failures


def test_a_failure_has_the_arrays_of_the_first_divergence(judged):
    (found,) = judged.failures
    assert isinstance(found, Failure) and found.first_divergence.tensor == TENSOR
    assert found.first_divergence.index == (2, 8) and found.first_divergence.ratio == pytest.approx(154)
    assert found.ratio == found.error / found.tolerance
    actual, expected = found.actual, found.expected
    assert actual.dtype == np.float32 and expected.dtype == np.float64 and actual.shape == expected.shape
    assert np.argwhere(np.abs(actual - expected) > 1e-5).tolist() == [[2, 8, 3]]
    assert found.reproduce.startswith("parity audit")


def test_a_report_that_is_read_again_has_the_same_failures(judged):
    again = read_report(judged.directory)
    assert again == judged and again.directory == judged.directory
    assert again.failures == judged.failures and again.failures
    np.testing.assert_array_equal(again.failures[0].actual, judged.failures[0].actual)
    assert read_report(judged.directory / "report.json") == again


def test_a_run_that_was_moved_brings_its_arrays(judged, tmp_path):
    shutil.copytree(judged.directory, tmp_path / "moved")
    moved = read_report(tmp_path / "moved")
    assert moved == judged and moved.directory == tmp_path / "moved"
    shutil.rmtree(judged.directory)
    assert moved.failures[0].actual is not None


def test_what_a_trace_does_not_hold_is_no_array(judged):
    """A tensor that the backend did not return, a case that nobody ran, a subject that was not there."""
    for fields in (
        {"first_divergence": Divergence(tensor="logits")},
        {"case": "loss"},
        {"backend": "hf-tf"},
    ):
        (found,) = in_directory(report(failed(**fields)), judged.directory).failures
        assert found.actual is None


@pytest.mark.parametrize("gone", ["traces", "manifest.json"])
def test_traces_that_are_gone_are_named_with_the_way_to_have_them_again(judged, gone):
    path = judged.directory / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = judged.failures[0]
    for name in ("actual", "expected"):
        with pytest.raises(TraceError, match=r"gone: .*`reproduce` command") as caught:
            getattr(found, name)
        assert isinstance(caught.value, InputError) and gone in str(caught.value)


def test_a_report_without_a_directory_names_the_cause():
    made = report(failure())
    assert made.directory is None
    with pytest.raises(TraceError, match="was not read from a run directory"):
        _ = made.failures[0].actual


def test_where_no_tensor_is_compared_there_are_no_arrays(tmp_path):
    made = report(verdict("fail", check="CONF01", reason="vocab_size is 7, not 8"))
    (found,) = in_directory(made, tmp_path).failures
    assert found.actual is None and found.expected is None and found.ratio is None and found.reproduce == ""
    assert repr(found) == "<Failure CONF01 bart-odd forward hf-torch float32 cpu: vocab_size is 7, not 8>"


def test_failures_are_the_cells_that_fail_and_those_in_error_in_the_report_s_order():
    made = report(verdict(), failure(), verdict("known"), verdict("skip"), verdict("error", reason="time-out"))
    assert [each.status for each in made.failures] == ["fail", "error"]
    assert report(verdict()).failures == ()


def test_a_failure_in_one_line():
    (found,) = report(failure(variant="sdpa", stack="docs-4.37")).failures
    assert (
        repr(found)
        == str(found)
        == (
            "<Failure NUM01 bart-odd forward hf-flax/sdpa@docs-4.37 float32 cpu: "
            "decoder.hidden.1 at [batch 0, tgt 1], 8.38e+04 × tolerance>"
        )
    )


def test_text_of_a_checkpoint_cannot_control_the_terminal():
    (found,) = report(verdict("fail", checkpoint="a\x1b[2J", reason="b\x1b]0;c\x07")).failures
    assert "\x1b" not in repr(found) and "\x07" not in repr(found) and r"\x1b" in repr(found)


def test_a_divergence_without_a_number_has_no_ratio():
    assert Divergence(tensor="logits").ratio is None and Divergence(tensor="logits").index == ()
    assert Divergence(tensor="logits", error=1.0, tolerance=0.0).ratio is None
