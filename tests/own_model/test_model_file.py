"""``parity audit --model FILE.py:FUNCTION``: a model in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity.core.records import Report, read_record
from parity.core.resources import fixture
from tests.conftest import FRAMEWORKS

pytestmark = pytest.mark.full
ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("models.py")


@pytest.fixture
def audit(cache, tmp_path):
    def run(model, *options, checkpoint=None):
        command = [sys.executable, "-m", "parity", "audit", str(checkpoint or fixture("bart-tiny")), "--model", model]
        command += ["--reference", "reference-torch", "--cache", str(cache), "--out", str(tmp_path / "run"), *options]
        # Backends that were set up in this process leave the switches of other frameworks off.
        variables = {name: value for name, value in os.environ.items() if name not in FRAMEWORKS}
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, env=variables)
        path = tmp_path / "run" / "report.json"
        return ended, read_record(Report, path) if path.is_file() else None

    return run


def test_a_model_of_another_layout_is_audited_by_the_name_of_its_file(audit):
    ended, report = audit(f"{FILE}:renamed", "--check", "loading,numbers,losses")
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert {verdict.backend for verdict in report.verdicts} == {"models", "file"}
    assert {"LOAD01", "NUM01", "LOSS01"} <= {verdict.check for verdict in report.verdicts if verdict.status == "pass"}


@pytest.mark.parametrize("model", ["flax", "keras", "functional"])
def test_a_model_of_another_framework_is_compared_by_its_logits(audit, model):
    ended, report = audit(f"{FILE}:{model}", "--check", "NUM04,BATCH01")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert {"NUM04", "BATCH01"} <= {verdict.check for verdict in report.verdicts if verdict.status == "pass"}


def test_a_wrong_one_fails_and_is_judged_again_without_it(audit, tmp_path):
    ended, _ = audit(f"port={FILE}:wrong_function")
    assert ended.returncode == 1 and "FAILED port: " in ended.stdout and "first at logits" in ended.stdout
    assert f"--model port={FILE}:wrong_function" in ended.stdout  # what Reproduce says
    command = [sys.executable, "-m", "parity", "judge", str(tmp_path / "run")]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert again.returncode == 1 and "FAILED port: " in again.stdout


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (f"{FILE}:raising", "ValueError: no weights here"),
        (f"{FILE}:killed", "the process ended with exit code 3"),
        (f"{FILE}:text", "a str is no module and no function"),
        (f"{FILE}:nothing", f"{FILE}: has no function nothing"),
        (f"{FILE}", "expected FILE.py:FUNCTION, the function that returns the model"),
        ("nowhere.py:load", "no such file"),
        (f"hf-torch={FILE}:library", "hf-torch cannot be a model's name, or is a backend's"),
    ],
)
def test_what_cannot_be_used_is_one_line(audit, model, cause):
    ended, report = audit(model)
    (line,) = (each for each in ended.stderr.splitlines() if each.startswith("parity: "))
    assert (ended.returncode, report) == (2, None) and cause in line, ended.stderr


def test_one_that_takes_forever_is_stopped(audit):
    ended, _ = audit(f"{FILE}:endless", "--time-limit", "8")
    assert ended.returncode == 2 and "loading and one call took longer than 8 s" in ended.stderr
