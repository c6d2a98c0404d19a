"""``pytest --parity``: a test for each cell, with and without xdist; and the fixtures, in a project of somebody's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from parity import pytest_plugin
from parity.core.records import write_record
from parity.core.resources import fixture
from tests.sample_reports import failure, report, verdict

ROOT = Path(__file__).parents[1]
CELLS = (
    verdict(),
    verdict(case="loss"),
    failure(),
    verdict("error", case="load", reason="time-out in load"),
    verdict("known", case="forward.single-row", reason="an-entry: cause"),
    verdict("skip", backend="hf-tf", reason="labels: takes none"),
)


@pytest.fixture
def project(tmp_path):
    """A folder of somebody's, with a test of its own and a report of ours."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    write_record(report(*CELLS), tmp_path / "report.json")
    return tmp_path


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-p", "parity.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env={**variables, "PYTHONPATH": path}
    )


@pytest.mark.parametrize("more", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_each_cell_is_a_test(project, more):
    ended = run_pytest(project, "--parity-report", "report.json", "-rA", *more)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    last = ended.stdout.splitlines()[-1]
    for count in ("2 failed", "2 passed", "1 skipped", "1 xfailed"):
        assert count in last
    assert "parity::bart-odd::hf-flax::NUM01[forward-float32-cpu]" in ended.stdout
    assert "First divergence   decoder.hidden.1 at [batch 0, tgt 1]; inputs agree (0.9 × tolerance)" in ended.stdout
    assert "an-entry: cause" in ended.stdout
    assert "test_own" not in ended.stdout, "nobody named it"


def test_whoever_names_files_gets_both(project):
    ended = run_pytest(project, "--parity-report", "report.json", "test_own.py", "-k", "test_own or loss", "-v")
    assert ended.returncode == 0
    assert "2 passed" in ended.stdout.splitlines()[-1]


def test_without_the_option_nothing_changes(project):
    ended = run_pytest(project)
    assert ended.returncode == 0 and "1 passed" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--parity-report", "none.json"],
        ["--parity", "./none"],
        ["--parity", str(fixture("bart-odd")), "--parity-known-issues", "none.toml"],
    ],
)
def test_bad_input_is_a_usage_error(project, arguments):
    ended = run_pytest(project, *arguments)
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR, ended.stdout
    assert "none" in ended.stderr and "Traceback" not in ended.stderr


def test_an_empty_name_is_a_usage_error_and_selects_nothing(project):
    ended = run_pytest(project, "--parity", str(fixture("bart-odd")), "--parity-check", "")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR, ended.stdout
    assert "parity: --parity-check: the value is empty" in ended.stderr and "Traceback" not in ended.stderr


OWN = """
import pytest
import parity.api
from parity import InputError
from tests.sample_reports import failure, report, verdict

REPORTS = {
    "good": report(verdict()),
    "bad": report(verdict(), failure()),
    "empty": report(verdict("skip")),
    "partial": report(verdict(), not_run=["hf-flax: pip install flax"]),
}

def audited(checkpoints, **options):
    if checkpoints[0] not in REPORTS:
        raise InputError(f"{checkpoints[0]}: no such directory\\x1b[2J")
    return REPORTS[checkpoints[0]]

@pytest.fixture(autouse=True)
def without_a_capture(monkeypatch):
    monkeypatch.setattr(parity.api, "audit", audited)
    monkeypatch.setattr("parity.own_model.check", lambda model, checkpoint, out: model(checkpoint))

@pytest.mark.parametrize("name", ["good", "bad", "empty", "partial", "absent"])
def test_mine(name, assert_parity):
    assert assert_parity(name, backends=["hf-torch"]).totals.passed == 1

def test_my_model(assert_parity):
    assert assert_parity(model=REPORTS.get, checkpoint="good").totals.passed == 1
    with pytest.raises(pytest.fail.Exception, match="NUM01 fail"):
        assert_parity(model=REPORTS.get, checkpoint="bad")

def test_a_report(parity_audit):
    assert [each.check for each in parity_audit("bad").failures] == ["NUM01"]
    with pytest.raises(InputError):
        parity_audit("absent")
"""


def test_the_fixtures_serve_people_s_own_tests(project):
    """What a test fails with is what the terminal shows, without a traceback."""
    (project / "test_own.py").write_text(OWN, encoding="utf-8")
    ended = run_pytest(project, "-rA")
    assert "4 failed, 3 passed" in ended.stdout.splitlines()[-1], ended.stdout
    assert "NUM01 fail · hf-flax · bart-odd" in ended.stdout
    assert "FAILED hf-flax: 1 check (1 cell), first at decoder.hidden.1 · 1 passed" in ended.stdout
    assert "every cell is skipped" in ended.stdout
    assert "not run: hf-flax: pip install flax" in ended.stdout
    assert "parity: absent: no such directory\\x1b[2J" in ended.stdout
    assert "\x1b[2J" not in ended.stdout and "Traceback" not in ended.stdout and "pytest_plugin.py" not in ended.stdout


def test_what_is_not_given_is_read_from_the_project(tmp_path, monkeypatch):
    seen = []

    def audit(checkpoints, options, progress):
        seen.append((checkpoints, options))
        return SimpleNamespace(directory=tmp_path)

    monkeypatch.setattr("parity.api.audit", audit)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.parity]\ncheckpoints = ["org/name"]\nbackends = ["hf-tf"]\nchecks = ["numbers"]\nstacks = ["current"]\n'
    )
    given = {"--parity-backend": ["hf-torch"]}
    config = SimpleNamespace(getoption=given.get, invocation_params=SimpleNamespace(dir=tmp_path))
    pytest_plugin._audited(config, [""])
    ((checkpoints, options),) = seen
    assert checkpoints == ["org/name"] and options.backends == ("hf-torch",) and options.checks == ("numbers",)
    assert options.stacks == ("main", "current")
    (tmp_path / "pyproject.toml").write_text("[tool.parity]\nbakends = []\n")
    with pytest.raises(pytest.UsageError, match="bakends: no such key; did you mean backends"):
        pytest_plugin._audited(config, ["mine"])
