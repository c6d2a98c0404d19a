"""The workflow file and the pre-commit hooks say nothing that the command does not understand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from parity.checkpoint.inspection import inspect_checkpoint
from parity.cli.main import run
from parity.core.records import write_record
from parity.core.resources import fixtures
from parity.tools.gate.gate import update
from tests.sample_reports import failure, report, verdict

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "parity.yml"
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


def steps() -> list[dict]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]


def commands() -> list[list[str]]:
    """Every call of the command in the workflow, as words."""
    lines = [line for step in steps() for line in step.get("run", "").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("$PARITY ")]


def test_the_workflow_runs_on_pull_requests_and_may_write_nothing():
    content = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert "pull_request" in content[True], "YAML reads `on` as true"
    assert content["permissions"] == {"contents": "read"}


def test_every_option_of_the_workflow_exists(capsys):
    assert {words[0] for words in commands()} == {"golden", "gate", "export"}
    for words in commands():
        name = words[:2] if words[0] == "golden" else words[:1]
        assert run([*name, "--help"]) == 0
        told = capsys.readouterr().out
        for option in (word for word in words if word.startswith("--")):
            assert option in told, words


@pytest.mark.parametrize(("cells", "code"), [([verdict()], 0), ([failure()], 1)], ids=["as it was", "worse"])
def test_the_steps_after_the_audit_run_as_they_stand(tmp_path, cells, code):
    """In a shell as GitHub starts it, in order: whatever the gate says, the report is written."""
    (tmp_path / "runs/ci").mkdir(parents=True)
    (tmp_path / "reports").mkdir()
    write_record(report(verdict()), tmp_path / "runs/ci/report.json")
    update([tmp_path / "runs/ci"], tmp_path / "reports/baseline.json")
    write_record(report(*cells), tmp_path / "runs/ci/report.json")
    environment = {
        **os.environ,
        "PARITY": f"{sys.executable} -m parity",
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    codes, told = {}, ""
    for step in steps():
        if step.get("name") in ("Gate", "Report"):
            shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            ended = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
            codes[step["name"]], told = ended.returncode, told + ended.stdout + ended.stderr
    assert codes == {"Gate": code, "Report": 0}, told
    assert ("::error" in told) == (code == 1)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert f"gate {'failed' if code else 'passed'}" in summary and "1 verdict" in summary
    assert (tmp_path / "runs/ci/junit.xml").is_file()


def test_what_the_audit_leaves_is_what_the_gate_reads():
    text = WORKFLOW.read_text(encoding="utf-8")
    audit = next(step["run"] for step in steps() if step.get("name") == "Audit")
    out = audit.partition("--out ")[2].strip()
    assert set(re.findall(r"runs/\w+", text)) == {out}


def test_sessions_of_the_workflow_exist():
    from parity.core.stacks import table

    text = WORKFLOW.read_text(encoding="utf-8")
    assert set(re.findall(r"stack-([\w.-]+)|--stack ([\w.-]+)", text)) and all(
        name in table() for pair in re.findall(r"stack-([\w.-]+)|--stack ([\w.-]+)", text) for name in pair if name
    )


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_every_hook_calls_a_command(hook, capsys):
    words = hook["entry"].split()
    assert words[0] == "parity" and hook["language"] in ("python", "system") and not hook["pass_filenames"]
    assert run([*words[1:], "--help"]) == 0
    capsys.readouterr()


def test_hooks_wake_for_the_files_they_are_about():
    patterns = {hook["id"]: re.compile(hook["files"]) for hook in HOOKS}
    for path in fixtures():
        assert all(patterns["parity-audit"].search(name) for name in inspect_checkpoint(path).files)
    assert not patterns["parity-audit"].search("README.md")
    assert patterns["parity-gate"].search("reports/baseline.json")
