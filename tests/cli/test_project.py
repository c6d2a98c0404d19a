"""What the command line takes from ``[tool.parity]``, and what overrides it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from parity import api
from parity.cli.main import run


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The working directory is a project; of an audit only what it is given is kept."""
    monkeypatch.chdir(tmp_path)
    found = SimpleNamespace(checkpoints=None, options=None)

    def audit(checkpoints, options, **_):
        found.checkpoints, found.options = checkpoints, options
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "audit", audit)
    return found


def write(text: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.parity]\n{text}\n")


def test_an_audit_takes_checkpoints_and_options_from_the_project(asked):
    write(
        'checkpoints = ["a", "b"]\nbackends = ["hf-torch"]\nstacks = ["current"]\n'
        'class = "BartModel"\ndtypes = ["float64"]'
    )
    assert run(["audit"]) == 130
    options = asked.options
    assert asked.checkpoints == ["a", "b"] and options.backends == ("hf-torch",) and options.dtypes == ("float64",)
    assert options.stacks == ("main", "current") and options.model_class == "BartModel"


def test_the_command_line_overrides_it_and_a_default_that_is_named_counts(asked):
    write('checkpoints = ["a"]\nbackends = ["hf-torch"]\njobs = 1\ndtypes = ["float64"]\ntime-limit = 5')
    run(["audit", "mine", "--backend", "hf-tf", "--dtype", "float32"])
    options = asked.options
    assert asked.checkpoints == ["mine"] and options.backends == ("hf-tf",) and options.dtypes == ("float32",)
    assert (options.jobs, options.time_limit) == (1, 5.0)


def test_without_a_project_nothing_changes_and_a_checkpoint_is_needed(asked, capsys):
    run(["audit", "mine"])
    assert asked.options.backends is None and asked.options.dtypes == ("float32",)
    assert run(["audit"]) == 2
    assert "parity: no checkpoint: name a directory or a hub id" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["audit"], ["capture", "x"], ["judge", "x"], ["gate", "x"]])
def test_a_mistake_in_it_ends_every_command_that_reads_it(asked, command, capsys):
    write("jbos = 1")
    assert run(command) == 2
    assert (
        capsys.readouterr().err
        == f"parity: {Path.cwd()}/pyproject.toml: [tool.parity] jbos: no such key; did you mean jobs?\n"
    )


def test_the_gate_takes_its_baseline_from_the_project(asked, capsys):
    Path("run").mkdir()
    write('baseline = "ours.json"')
    assert run(["gate", "run"]) == 2
    assert "ours.json" in capsys.readouterr().err
    assert run(["gate", "run", "--baseline", "other.json"]) == 2
    assert "other.json" in capsys.readouterr().err
