"""``[tool.parity]``: where it is found, what its keys become, and each mistake in one line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from parity.core.options import AuditOptions
from parity.core.project_config import KEYS, OPTIONS, ConfigError, ProjectConfig, find_project, read_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes a ``pyproject.toml``; the working directory is a folder below it."""
    folder = tmp_path / "project" / "deep" / "below"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)

    def write(text: str) -> Path:
        path = tmp_path / "project" / "pyproject.toml"
        path.write_text(text)
        return path

    return write


def test_the_keys_are_the_options_of_an_audit_and_what_a_project_alone_has():
    names = {each.name for each in fields(AuditOptions)}
    of_one_run = {"models", "converted", "quantised", "original", "references"}
    assert set(OPTIONS) == names - {"cases", "out", "keywords", "exit_first", *of_one_run}
    assert set(ProjectConfig.model_fields) == {*OPTIONS, "checkpoints", "baseline"}
    assert {"known-issues", "class", "time-limit"} <= set(KEYS)


def test_it_is_found_above_and_a_file_without_the_section_is_passed_over(project, tmp_path):
    assert find_project() is None
    path = project("[tool.parity]\njobs = 1\n")
    (path.parent / "deep" / "pyproject.toml").write_text("[tool.ruff]\n")
    assert find_project() == path
    (path.parent / "deep" / "pyproject.toml").write_text("[tool.parity]\n")
    assert find_project() == path.parent / "deep" / "pyproject.toml"


def test_another_tool_s_broken_file_is_no_concern(project):
    project("[tool.black\n")
    assert find_project() is None
    project("[tool.parity\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml: not TOML: .*line 1"):
        find_project()


def test_relative_paths_are_relative_to_the_file(project):
    path = project(
        '[tool.parity]\ncheckpoints = ["model", "org/name", "../other", "a/b/c"]\nbaseline = "base.json"\n'
        'stacks = ["current", "x=env/bin/python", "env/bin/python"]\nknown-issues = "/abs/known.toml"\n'
        'inputs = "t.jsonl"\n'
    )
    root = path.parent
    (root / "model").mkdir()
    found = read_project(path)
    assert found.checkpoints == [str(root / "model"), "org/name", str(root / "../other"), str(root / "a/b/c")]
    assert found.stacks == ["current", f"x={root}/env/bin/python", f"{root}/env/bin/python"]
    assert (found.baseline, found.inputs, found.known_issues) == (
        root / "base.json",
        root / "t.jsonl",
        Path("/abs/known.toml"),
    )


def test_a_path_below_the_working_directory_is_short(project, monkeypatch):
    path = project('[tool.parity]\ncheckpoints = ["model"]\nbaseline = "base.json"\n')
    (path.parent / "model").mkdir()
    monkeypatch.chdir(path.parent)
    assert read_project(path).checkpoints == ["model"] and read_project(path).baseline == Path("base.json")


def test_what_is_set_becomes_the_options_of_an_audit(project):
    text = (
        '[tool.parity]\nbackends = ["hf-torch"]\nmemory = "2GB"\nclass = "BartModel"\ntime-limit = 5\nstrict = false\n'
    )
    found = read_project(project(text))
    assert found.options() == {
        "backends": ["hf-torch"],
        "memory": "2GB",
        "model_class": "BartModel",
        "time_limit": 5.0,
        "strict": False,
    }
    assert AuditOptions(**found.options()).memory == 2 * 10**9


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("chekpoints = []", "chekpoints: no such key; did you mean checkpoints?"),
        ("known_issues = 'x'", "known_issues: no such key; did you mean known-issues?"),
        ("zzz = 1", "zzz: no such key; there are checkpoints, baseline, "),
        ("jobs = 'two'", "jobs: input should be a valid integer, not 'two'"),
        ("jobs = 0", "jobs: input should be greater than or equal to 1, not 0"),
        ("backends = 'hf-torch'", "backends: input should be a valid list, not 'hf-torch'"),
        ("backends = ['hf-torch', 1]", "backends[1]: input should be a valid string, not 1"),
        ("dtypes = ['bfloat61']", "dtypes: bfloat61 is none; did you mean bfloat16?"),
        ("device = 'gpu'", "device: gpu is none; "),
        ("memory = 'much'", "memory: much: not an amount of memory"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key_and_the_nearest(project, line, told):
    path = project(f"[tool.parity]\n{line}\n")
    with pytest.raises(ConfigError) as raised:
        read_project(path)
    assert str(raised.value).startswith(f"{path}: [tool.parity] {told}") and "\n" not in str(raised.value)


def test_a_section_that_is_no_table_is_one_line(project):
    with pytest.raises(ConfigError, match=r"pyproject\.toml: \[tool\.parity\] is no table"):
        read_project(project("[tool]\nparity = 1\n"))
