"""Another package called ``reference``: one line in the command, and no concern of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity.capture.probe import probe
from parity.core import own_reference
from parity.core.own_reference import OURS, ReferenceHidden, check_reference, explained

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["reference.py", "reference/__init__.py"])
def other(request, tmp_path):
    """A folder with somebody else's module or package of that name."""
    path = tmp_path / request.param
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('imported')\n")
    return tmp_path


@pytest.mark.parametrize("code", ["-m parity doctor", "-c 'import parity.api'"])
def test_it_is_one_line_that_names_both_and_what_to_do(other, code):
    paths = os.pathsep.join([str(other), str(ROOT)])
    command = f"{sys.executable} -P {code}"
    ended = subprocess.run(
        command, shell=True, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, cwd=other
    )
    last = ended.stderr.splitlines()[-1]
    assert f"a package called 'reference' from {other}/reference" in last
    assert f"hides parity's own in {OURS}: start parity from another folder, or install" in last
    if "doctor" in code:
        assert ended.returncode == 2 and ended.stderr == f"{last}\n" and last.startswith("parity: ")
    else:
        assert "ReferenceHidden" in last


def test_a_worker_imports_ours_whatever_is_on_its_path(other, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(other))
    assert "numpy" in probe("main", Path(sys.executable), {}, ["reference-torch"])["versions"]


def test_ours_is_accepted_and_none_is_one_line(monkeypatch):
    check_reference()
    monkeypatch.setattr(own_reference, "_found", lambda: None)
    with pytest.raises(
        ReferenceHidden, match=r"^parity's package 'reference' is missing from .*: install encdec-parity"
    ):
        check_reference()


def test_one_that_was_written_over_ours_is_explained():
    told = str(explained(ModuleNotFoundError("No module named 'reference.errors'", name="reference.errors")))
    assert told.startswith(f"parity's package 'reference' in {OURS} is damaged") and "reference.errors" in told
    assert explained(AttributeError("module 'reference' has no attribute 'x'")) is not None
    assert explained(ImportError("No module named 'rich'", name="rich")) is None
