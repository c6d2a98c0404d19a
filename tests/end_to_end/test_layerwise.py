"""An error made in one layer reaches all behind it; each asked alone, only that one is off."""

from __future__ import annotations

import textwrap

import pytest

from parity.core.resources import fixture
from parity.report.failures import groups, lines
from tests.end_to_end.shadow import shadow_transformers
from tests.end_to_end.test_faults import FAULTS, MODULE

pytestmark = pytest.mark.full


def test_the_layer_that_errs_is_the_only_one_that_errs_alone(audit, tmp_path):
    code, check, tensor = FAULTS["one row of one layer wrong by 1 %"]
    path = shadow_transformers(tmp_path / "shadow", MODULE, textwrap.dedent(code))
    options = ("--backend", "hf-torch/eager", "--layerwise")
    _, report = audit([fixture("bart-odd")], *options, environment={"PYTHONPATH": str(path)})
    failed = [verdict for verdict in report.verdicts if verdict.status == "fail"]
    (alone,) = [verdict for verdict in failed if verdict.check == "LAYER01"]
    assert alone.evidence["tensors"] == [tensor]
    behind = [verdict for verdict in failed if verdict.check == check and verdict.case == "forward"]
    assert len(behind[0].evidence["tensors"]) > 1 and behind[0].evidence["layer_ratio"] > 1
    assert "made in this layer" in dict(lines(groups(behind)[0]))["Layerwise"]


def test_what_came_to_a_layer_is_told_from_what_it_made(audit, tmp_path):
    """Positions that are off by one spoil every layer, and none of them errs alone."""
    code, _, _ = FAULTS["position offset"]
    path = shadow_transformers(tmp_path / "shadow", MODULE, textwrap.dedent(code))
    options = ("--backend", "hf-torch/eager", "--layerwise", "--check", "LAYER01")
    exit_code, report = audit([fixture("bart-odd")], *options, environment={"PYTHONPATH": str(path)})
    assert exit_code == 0 and {verdict.status for verdict in report.verdicts} == {"pass"}
