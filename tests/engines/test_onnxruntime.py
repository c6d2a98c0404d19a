"""ONNX Runtime: our export and graphs of optimum-onnx, right, damaged and edited."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from parity import InputError, api
from parity.backends.engines.conversion import RECORD
from parity.core.resources import fixture
from tests.engines.conftest import exported_of
from tests.engines.onnx_faults import BASIC, FAULTS, Graph

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
        reason="onnxruntime or onnx is not installed: pip install 'encdec-parity[engines]'",
    ),
]
CHECKPOINT = "bart-odd"


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    def audit(checkpoint=CHECKPOINT, **options):
        options = {"checks": ["numbers"], "references": ["reference-torch"], **options}
        return api.audit(
            [fixture(checkpoint)],
            backends=["onnxruntime"],
            cache=cache,
            out=tmp_path_factory.mktemp("run"),
            **options,
        )

    return audit


@pytest.fixture(scope="module")
def exported(run, cache):
    """The folder of the export, after an audit that passed."""
    report = run()
    statuses = {verdict.check: verdict.status for verdict in report.verdicts if verdict.status != "skip"}
    assert statuses == {"NUM01": "pass", "NUM04": "pass"}
    return exported_of(cache, CHECKPOINT)


def failures(report):
    first = [(verdict.check, verdict.first_divergence) for verdict in report.failures]
    return {(check, divergence.tensor if divergence else "") for check, divergence in first}


@pytest.mark.parametrize("name", [*BASIC, *FAULTS])
def test_a_fault_in_the_graph_is_found_where_it_is(run, exported, tmp_path, name):
    edit, tensor = {**BASIC, **FAULTS}[name]
    graph = Graph(exported / "model.onnx")
    edit(graph)
    found = failures(run(converted=graph.write(tmp_path / "edited")))
    assert found, "not caught"
    check = "NUM04" if tensor == "logits" else "NUM01"
    assert {first for each, first in found if each == check} == {tensor}


@pytest.fixture(scope="module")
def exported_in_half(run, cache):
    """The folder of the export in float16, after an audit that passed."""
    report = run(dtypes=["float16"])
    statuses = {verdict.check: verdict.status for verdict in report.verdicts if verdict.status != "skip"}
    assert statuses == {"NUM01": "pass", "NUM04": "pass"}
    return exported_of(cache, CHECKPOINT, dtype="float16")


BELOW_HALF = ("one row of a layer off by 1 %", "tanh form of gelu")
"""Faults whose effect is smaller than the rounding of float16."""


@pytest.mark.parametrize("name", [name for name in (*BASIC, *FAULTS) if name not in BELOW_HALF])
def test_a_fault_in_the_graph_is_found_in_float16(run, exported_in_half, tmp_path, name):
    edit, tensor = {**BASIC, **FAULTS}[name]
    graph = Graph(exported_in_half / "model.onnx")
    edit(graph)
    found = failures(run(dtypes=["float16"], converted=graph.write(tmp_path / "edited")))
    assert tensor in {first for _, first in found}


@pytest.mark.parametrize("name", BELOW_HALF)
def test_a_fault_below_the_rounding_of_float16_is_within_its_tolerance(run, exported_in_half, tmp_path, name):
    graph = Graph(exported_in_half / "model.onnx")
    BASIC[name][0](graph)
    verdicts = run(dtypes=["float16"], converted=graph.write(tmp_path / "edited")).verdicts
    assert {verdict.status for verdict in verdicts if verdict.status != "skip"} == {"pass"}


def test_given_files_of_our_own_pass_and_those_of_another_checkpoint_are_refused(run, exported, tmp_path):
    given = shutil.copytree(exported, tmp_path / "given")
    assert not run(converted=given).failures
    with pytest.raises(InputError, match="converted from another checkpoint"):
        run("bart-tiny", converted=given)
    (given / RECORD).unlink()
    assert run("bart-tiny", converted=given).failures


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path):
    path.write_bytes(b"")


def _newer(path):
    graph = Graph(path)
    graph.model.opset_import[0].version = 999
    path.write_bytes(graph.model.SerializeToString())


def _without_logits(path):
    graph = Graph(path)
    graph.graph.output.remove(next(each for each in graph.graph.output if each.name == "logits"))
    path.write_bytes(graph.model.SerializeToString())


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (_truncated, "cannot load it: InvalidProtobuf"),
        (_empty, "cannot load it: "),
        (_newer, "cannot load it: "),
        (_without_logits, "has no output logits"),
    ],
)
def test_what_the_engine_cannot_read_is_one_line(run, exported, tmp_path, damage, cause):
    given = shutil.copytree(exported, tmp_path / "given")
    damage(given / "model.onnx")
    with pytest.raises(InputError, match=r"model\.onnx: changed since it was converted"):
        run(converted=given)
    (given / RECORD).unlink()
    report = run(converted=given)
    (reason,) = {verdict.reason for verdict in report.failures}
    assert cause in reason and "\n" not in reason and str(given / "model.onnx") in reason
