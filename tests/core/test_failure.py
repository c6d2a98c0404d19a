"""Failures of a report: what identifies them, and the arrays that are loaded from the run directory."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from parity import Failure, InputError, Report, api, read_report
from parity.core.records import Divergence, in_directory
from parity.core.trace import TraceError
from tests.sample_reports import failure, report, verdict


def scaled(name: str, by: float):
    def change(trace):
        trace.arrays[name][1, 2] *= by
        return trace

    return change


@pytest.fixture
def judged(two_runs) -> Report:
    """A run in which one tensor of ``hf-torch``'s forward pass is wrong in one slice."""
    _, altered = two_runs({"forward": scaled("decoder.hidden.1", 1.01)})
    return api.judge(altered.directory)


def test_a_failure_has_the_arrays_of_the_first_divergence(judged):
    found = next(each for each in judged.failures if each.check == "NUM01" and each.case == "forward")
    assert isinstance(found, Failure) and found.first_divergence.tensor == "decoder.hidden.1"
    assert found.first_divergence.index == (1, 2) and found.first_divergence.ratio > 100
    assert found.ratio == found.error / found.tolerance
    actual, expected = found.actual, found.expected
    assert actual.dtype == np.float32 and expected.dtype == np.float64 and actual.shape == expected.shape
    apart = np.abs(actual - expected).max(axis=-1)
    assert np.unravel_index(apart.argmax(), apart.shape) == found.first_divergence.index
    assert found.reproduce.startswith("parity audit")


def test_a_report_that_is_read_again_has_the_same_failures(judged):
    again = read_report(judged.directory)
    assert again == judged and again.directory == judged.directory
    assert [*again.failures] == [*judged.failures] and again.failures
    np.testing.assert_array_equal(again.failures[0].actual, judged.failures[0].actual)
    assert read_report(judged.directory / "report.json") == again


def test_a_run_that_was_moved_brings_its_arrays(judged, tmp_path):
    shutil.copytree(judged.directory, tmp_path / "moved")
    moved = read_report(tmp_path / "moved")
    assert moved == judged and moved.directory == tmp_path / "moved"
    shutil.rmtree(judged.directory / "traces")
    assert moved.failures[0].actual is not None


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
