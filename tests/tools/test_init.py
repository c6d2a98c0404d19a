"""``parity init``: what it writes, what it leaves alone, and that what it writes is understood."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from parity.cli.main import run
from parity.core.project_config import read_project
from parity.core.resources import fixture
from parity.core.version import __version__

ROOT = Path(__file__).parents[2]
OWN = 'checkpoints = ["mine"]  # ours\njobs = 1\n'


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """The working directory: a repository with one checkpoint."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(fixture("bart-tiny"), tmp_path / "models" / "mine")
    return tmp_path


def test_a_bare_repository_gets_all_three_files(repository, capsys):
    assert run(["init"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "wrote  pyproject.toml",
        "wrote  .github/workflows/parity.yml",
        "wrote  .gitignore",
    ]
    found = read_project(repository / "pyproject.toml")
    assert found.checkpoints == ["models/mine"] and str(found.baseline) == "parity-baseline.json"
    assert (repository / ".gitignore").read_text() == "runs/\n"


def test_what_is_there_stays_and_is_added_to(repository):
    (repository / "pyproject.toml").write_text('[project]\nname = "x"')
    (repository / ".gitignore").write_text("*.log")
    run(["init", "--checkpoint", "models/mine", "--checkpoint", "org/name"])
    text = (repository / "pyproject.toml").read_text()
    assert text.startswith('[project]\nname = "x"\n\n[tool.parity]\n')
    assert read_project(repository / "pyproject.toml").checkpoints == ["models/mine", "org/name"]
    assert (repository / ".gitignore").read_text() == "*.log\nruns/\n"


def test_a_second_time_everything_is_the_same(repository, capsys):
    run(["init"])
    before = {path: path.read_text() for path in repository.glob("[.p]*") if path.is_file()}
    capsys.readouterr()
    assert run(["init"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["same", "same", "same", "next"]
    assert before == {path: path.read_text() for path in repository.glob("[.p]*") if path.is_file()}


def test_a_section_and_a_workflow_of_ones_own_are_kept_and_the_difference_shown(repository, capsys):
    (repository / "pyproject.toml").write_text(f"[tool.parity]\n{OWN}")
    workflow = repository / ".github/workflows/parity.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("name: mine\n")
    assert run(["init"]) == 0
    out = capsys.readouterr().out
    assert "kept     pyproject.toml: differs" in out and '  +checkpoints = ["models/mine"]' in out
    assert "kept     .github/workflows/parity.yml" in out and "parity init --force" in out
    assert (repository / "pyproject.toml").read_text() == f"[tool.parity]\n{OWN}"
    assert workflow.read_text() == "name: mine\n"


def test_force_replaces_the_section_and_nothing_else(repository, capsys):
    rest = "[tool.ruff]\nline-length = 100 # wide\n"
    (repository / "pyproject.toml").write_text(f"[project]\nname = 'x'\n\n[tool.parity]\n{OWN}\n{rest}")
    assert run(["init", "--force"]) == 0
    text = (repository / "pyproject.toml").read_text()
    assert text.startswith("[project]\nname = 'x'\n\n[tool.parity]\ncheckpoints = [\"models/mine\"]\n")
    assert text.endswith(f"\n\n{rest}") and OWN not in text
    assert "changed  pyproject.toml" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[tool]\nparity.jobs = 1\n", "[tool.parity]\njobs = 1\n[tool.parity.x]\ny = 1\n"])
def test_a_section_of_another_form_is_never_replaced(repository, text, capsys):
    (repository / "pyproject.toml").write_text(text)
    assert run(["init", "--force"]) in (0, 2)
    if text.startswith("[tool]"):
        assert (repository / "pyproject.toml").read_text() == text
        assert "not written as [tool.parity]; change it by hand" in capsys.readouterr().err


def test_a_broken_file_and_no_checkpoint_are_one_line(repository, capsys):
    (repository / "pyproject.toml").write_text("[project\n")
    assert run(["init"]) == 2
    assert re.fullmatch(r"parity: .*pyproject\.toml: not TOML: .*\n", capsys.readouterr().err)
    assert not (repository / ".github").exists()
    shutil.rmtree(repository / "models")
    assert run(["init"]) == 2
    assert capsys.readouterr().err == "parity: no checkpoint found below this folder: parity init --checkpoint DIR\n"


def test_the_workflow_installs_this_version_and_uses_the_actions_of_our_own(repository):
    run(["init"])
    text = (repository / ".github/workflows/parity.yml").read_text()
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert f"encdec-parity=={__version__}" in text and "@" + "VERSION" not in text and "@" + "BASELINE" not in text
    own = (ROOT / ".github/workflows/parity.yml").read_text()
    assert {step["uses"] for step in job["steps"] if "uses" in step} <= set(re.findall(r"uses: (\S+)", own))
    commands = [step["run"].split() for step in job["steps"] if step.get("run", "").startswith("parity ")]
    assert [command[1] for command in commands] == ["audit", "gate", "export"]
