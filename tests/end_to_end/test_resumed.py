"""Killed half-way, the next run computes only what is missing; an edited library hits nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from parity.core.records import Manifest, Report, read_record
from parity.core.resources import fixture
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.shadow import shadow_transformers

pytestmark = pytest.mark.full

BACKENDS = ("--backend", "hf-torch/eager")


def test_after_sigkill_the_second_run_computes_only_what_is_missing(tmp_path):
    options = [str(fixture("bart-untied")), *BACKENDS, "--cache", str(tmp_path / "cache"), "--jobs", "1"]
    command = [sys.executable, "-m", "parity", "audit", *options, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    traces = tmp_path / "cache" / "traces"
    deadline = time.monotonic() + 300
    while len(list(traces.glob("*/*.safetensors"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(traces.glob("*/*.safetensors")))
    assert kept >= 20

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert again.returncode == 0, again.stderr
    cost = read_record(Report, tmp_path / "run" / "report.json").cost
    distinct = len(list(traces.glob("*/*.safetensors")))
    # A noise floor's member that is also a candidate has one trace and two places in the manifest.
    assert cost.traces_cached >= kept
    assert 0 < distinct - kept <= cost.traces_captured


def test_an_edited_copy_of_the_same_version_hits_nothing_of_its_backend(audit, tmp_path):
    audit([fixture("bart-odd")], *BACKENDS)
    edit = f"# edited, and nothing changed: {uuid.uuid4()}"  # no earlier session with this cache has seen it
    path = shadow_transformers(tmp_path / "shadow", "models/bart/modeling_bart.py", edit)
    _, unchanged = audit([fixture("bart-odd")], *BACKENDS)
    _, edited = audit([fixture("bart-odd")], *BACKENDS, environment={"PYTHONPATH": str(path)})
    assert unchanged.cost.traces_captured == 0
    assert edited.cost.traces_cached > 0
    manifest = read_record(Manifest, tmp_path / "run" / "manifest.json")
    cached = {(manifest.subjects[trace.subject].backend == "hf-torch", trace.cached) for trace in manifest.traces}
    assert cached == {(True, False), (False, True)}
