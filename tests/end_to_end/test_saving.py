"""Saving and loading from end to end: two libraries in `main` save one small fixture and load what each saved."""

from __future__ import annotations

import numpy as np
import pytest

from parity.capture.pipeline import capture
from parity.core.options import AuditOptions
from parity.core.resources import fixture
from parity.core.trace import Trace
from parity.judge.followup.cases import SAVING
from parity.judge.judge import judge
from parity.tools.save_load_matrix import base_cases, matrix

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saving")
    backends = ["hf-torch/eager", "hf-flax"]
    options = AuditOptions(out=folder / "run", cache=folder / "cache", backends=backends, cases=base_cases, jobs=1)
    manifest = capture([fixture("bart-odd")], options, derive=SAVING)
    return folder / "run", manifest


def test_files_travel_in_traces_and_every_cell_is_answered(saved):
    run, manifest = saved
    records = {record.case: record for record in manifest.traces}
    trace = Trace.read(run / records["save.msgpack"].path)
    assert {"config.json", "flax_model.msgpack"} <= set(trace.facts["files"])
    assert trace.arrays["file.flax_model.msgpack"].dtype == np.uint8
    report = judge(run, checks=["saving"])
    assert report.totals.fail == report.totals.error == 0, [v for v in report.verdicts if v.status in ("fail", "error")]
    found = {(v.backend, v.case): v for v in report.verdicts}
    assert found["hf-flax", "saved.hf-torch@main.safetensors.from_pt"].status == "pass"
    assert found["hf-torch", "saved.hf-torch@main.bin.own"].status == "pass"
    assert found["hf-torch", "saved.hf-flax@main.msgpack.plain"].evidence["raises"] == ["OSError"]
    assert (
        found["hf-torch", "saved.hf-flax@main.msgpack.from_flax"].evidence["known_issue"] == "hf-torch-from-flax-meta"
    )
    assert any("`hf-torch@main.safetensors.from_pt` | " in line for line in matrix(report))
