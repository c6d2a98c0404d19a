"""OpenVINO: our export runs, a fault in the graph is found where it is, and unusable files are one line."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from parity import api
from parity.backends.engines.conversion import RECORD
from parity.core.resources import fixture
from tests.engines.conftest import exported_of
from tests.engines.onnx_faults import BASIC, FAULTS, Graph

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None or importlib.util.find_spec("onnx") is None,
        reason="openvino or onnx is not installed: pip install 'encdec-parity[engines]'",
    ),
]


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    def audit(**options):
        return api.audit(
            [fixture("bart-odd")],
            backends=["openvino"],
            checks=["numbers"],
            references=["reference-torch"],
            cache=cache,
            out=tmp_path_factory.mktemp("run"),
            **options,
        )

    return audit


@pytest.fixture(scope="module")
def exported(run, cache):
    """The folder of the export, after an audit that passed."""
    statuses = {verdict.check: verdict.status for verdict in run().verdicts if verdict.status != "skip"}
    assert statuses == {"NUM01": "pass", "NUM04": "pass"}
    return exported_of(cache, "bart-odd")


@pytest.mark.parametrize("name", [*BASIC, *FAULTS])
def test_a_fault_in_the_graph_is_found_where_it_is(run, exported, tmp_path, name):
    edit, tensor = {**BASIC, **FAULTS}[name]
    graph = Graph(exported / "model.onnx")
    edit(graph)
    report = run(converted=graph.write(tmp_path / "edited"))
    assert tensor in {verdict.first_divergence.tensor for verdict in report.failures if verdict.first_divergence}


def test_a_truncated_file_is_one_line(run, exported, tmp_path):
    given = shutil.copytree(exported, tmp_path / "given")
    path = given / "model.onnx"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (given / RECORD).unlink()
    (reason,) = {verdict.reason for verdict in run(converted=given).failures}
    assert "cannot load it" in reason and "\n" not in reason and str(path) in reason
