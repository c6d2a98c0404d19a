"""A stack is described without importing what it holds; an edited copy of the same version is another stack."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from parity.capture.probe import child_environment, probe
from parity.capture.task import CaptureError

HERE = Path(sys.executable)


def test_versions_sources_and_machine(bench):
    facts = probe("main", HERE, bench.environment, ["fake", "reference-torch", "file"])
    assert facts["versions"]["parity-fake"] == "1.0" and "numpy" in facts["versions"]
    assert set(facts["sources"]) == {"fake", "reference-torch", "file"}
    assert facts["sources"]["reference-torch"] == facts["sources"]["file"] != facts["sources"]["fake"]
    assert facts["cpu"] and facts["cores"] >= 1 and facts["python"].count(".") == 2
    assert "cuda" not in facts
    assert not bench.log, "the backend was imported"


def test_an_edited_copy_of_the_same_version_has_another_digest(bench, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bench.site, copy)
    edited = {**bench.environment, "PYTHONPATH": str(copy)}
    before = probe("main", HERE, edited, ["fake"])
    assert before["sources"] == probe("main", HERE, bench.environment, ["fake"])["sources"]
    source = copy / "parity_fake" / "__init__.py"
    source.write_text(source.read_text().replace("logits + 1", "logits + 2"))
    after = probe("main", HERE, edited, ["fake"])
    assert before["versions"] == after["versions"]
    assert before["sources"]["fake"] != after["sources"]["fake"]


def test_a_package_that_is_not_there_has_no_digest(bench):
    facts = probe("main", HERE, {"PYTHONPATH": ""}, ["fake"])
    assert facts["sources"] == {"fake": None} and facts["versions"] == {}


@pytest.mark.parametrize("content", [None, "#!/bin/sh\necho no python here >&2\nexit 1\n"])
def test_what_is_no_python_is_named_in_one_line(tmp_path, content):
    interpreter = tmp_path / "python"
    if content is not None:
        interpreter.write_text(content)
        interpreter.chmod(0o755)
    with pytest.raises(CaptureError, match=f"^{interpreter}: ") as error:
        probe("odd", interpreter, {}, ["file"])
    assert "odd" in str(error.value) and "\n" not in str(error.value)
    assert content is None or "no python here" in str(error.value)


def test_what_does_not_answer_is_stopped(tmp_path, monkeypatch):
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\nexec sleep 600\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr("parity.capture.probe.PROBE_LIMIT", 0.5)
    with pytest.raises(CaptureError, match=r"stack odd did not respond within 0\.5 s"):
        probe("odd", interpreter, {}, ["file"])


def test_an_empty_value_takes_a_variable_away(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    assert child_environment({})["TF_USE_LEGACY_KERAS"] == "1"
    assert "TF_USE_LEGACY_KERAS" not in child_environment({"TF_USE_LEGACY_KERAS": ""})
