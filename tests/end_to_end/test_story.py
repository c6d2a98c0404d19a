"""The gate's story from end to end: what was true, a fault slipped into a copy of the library, and its removal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parity.core.resources import fixture
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.shadow import shadow_transformers
from tests.end_to_end.test_faults import FAULTS, MODULE

pytestmark = pytest.mark.full

BACKEND = ("--backend", "hf-torch/eager")
SHOWN = ["tanh gelu", "one weight bit"]
"""Faults that a tolerance of 1e-3 on every output lets pass."""


def gate(*arguments: object) -> tuple[int, str]:
    """Exit code and output of ``parity gate``."""
    command = [sys.executable, "-m", "parity", "gate", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("fault", SHOWN)
def test_a_fault_in_the_library_closes_the_gate_until_it_is_removed(audit, tmp_path, fault):
    run, baseline = tmp_path / "run", tmp_path / "baseline.json"
    code, _ = audit([fixture("bart-odd")], *BACKEND)
    assert code == 0
    assert gate(run, "--baseline", baseline, "--update")[0] == 0

    appended, check, tensor = FAULTS[fault]
    path = shadow_transformers(tmp_path / "shadow", MODULE, appended)
    assert audit([fixture("bart-odd")], *BACKEND, environment={"PYTHONPATH": str(path)})[0] == 1
    code, told = gate(run, "--baseline", baseline)
    assert code == 1, told
    (line,) = (line for line in told.splitlines() if line.startswith("worse") and f" {check} · " in line)
    assert "hf-torch cpu float32" in line and "pass → fail" in line and f"first at {tensor}" in line
    page = (run / "report.html").read_text(encoding="utf-8")
    assert tensor in page, "the page names the layer too"
    code, told = gate(run, "--baseline", baseline, "--update")
    assert (code, told.partition(" (")[0]) == (
        2,
        f"parity: {run}: {_failed(run)} fail, 0 error: a failed run cannot become the baseline",
    )

    copied = shadow_transformers(tmp_path / "mended", MODULE, "")
    assert audit([fixture("bart-odd")], *BACKEND, environment={"PYTHONPATH": str(copied)})[0] == 0
    code, told = gate(run, "--baseline", baseline)
    assert code == 0 and "gate passed: " in told


def _failed(run: Path) -> int:
    from parity.core.records import Report, read_record

    return read_record(Report, run / "report.json").totals.fail
