"""``parity stack``: what is made, from what, how it goes on after an end, and each mistake in one line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from parity.cli.main import run
from parity.core.resources import data
from parity.core.stacks import STAMP, StackError, interpreter_in, made_folder, table
from parity.tools import stack
from parity.tools.stack import make, own_requirements, pins, stacks

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack but those that the test makes."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("parity.core.stacks.data", lambda name: tmp_path / "parity" if not name else data(name))


@pytest.fixture
def steps(monkeypatch):
    """Replaces venv and pip: each step's command is kept, and the environment is a link to this Python."""
    commands = []

    def step(row, command, on_line):
        commands.append(command)
        if "venv" in command:
            python = interpreter_in(Path(command[-1]))
            python.parent.mkdir(parents=True, exist_ok=True)
            python.unlink(missing_ok=True)
            python.symlink_to(sys.executable)

    monkeypatch.setattr(stack, "_run", step)
    return commands


def test_what_is_installed_is_what_the_table_pins(steps):
    told = []
    python = make("main", progress=told.append)
    row = table()["main"]
    venv, wanted, no_deps = steps
    assert venv == [sys.executable, "-I", "-m", "venv", "--clear", str(made_folder("main"))]
    assert wanted[:2] == [str(python), "-I"] and {*row.requires, *row.examples, "typer"} <= set(wanted)
    assert no_deps[-len(row.no_deps) :] == list(row.no_deps) and "--no-deps" in no_deps
    assert all(each[each.index("-c") + 1] == str(data("constraints/main.txt")) for each in (wanted, no_deps))
    assert json.loads((made_folder("main") / STAMP).read_text())["pins"] == pins(row)
    assert told[0].startswith(f"environment with Python {RUNNING}") and "packages" in told[1]


def test_the_command_s_own_requirements_are_for_stacks_of_the_references_alone():
    assert "typer" in own_requirements(table()["main"]) and own_requirements(table()["current"]) == []


def test_what_is_made_is_left_as_it_is_and_made_again_for_other_pins(steps):
    make("current")
    steps.clear()
    make("current")
    assert steps == []
    (made_folder("current") / STAMP).write_text(json.dumps({"stack": "current", "pins": "older"}))
    assert {each.row.name: each.state for each in stacks()}["current"] == "out of date"
    make("current")
    assert ["venv" in command for command in steps] == [False], "the environment is kept, pip changes what differs"


def test_an_installation_that_ended_early_goes_on(steps, monkeypatch, capsys):
    finish = stack._install
    monkeypatch.setattr(stack, "_install", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(["stack", "make", "current"]) == 130
    assert "parity: interrupted; the same command goes on from there" in capsys.readouterr().err
    assert {each.row.name: each.state for each in stacks()}["current"] == "incomplete"
    assert run(["stack", "path", "current"]) == 2
    monkeypatch.setattr(stack, "_install", finish)
    steps.clear()
    assert run(["stack", "make", "current"]) == 0
    assert ["venv" in command for command in steps] == [False]
    capsys.readouterr()
    assert run(["stack", "path", "current"]) == 0
    assert capsys.readouterr().out == f"{interpreter_in(made_folder('current'))}\n"


def test_the_list_has_every_stack_and_what_to_type(steps, capsys):
    make("current")
    assert run(["stack", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if not line.startswith(" ")}
    assert heads["current"] == "ready" and heads["gpu"] == "not here; parity stack make gpu"
    assert set(heads) == set(table())


@pytest.mark.parametrize(
    ("name", "python", "line"),
    [
        ("curent", None, "curent: no such stack; did you mean current?"),
        ("main", "/no/such/python", "/no/such/python: no such Python"),
        ("main", "3.99", "3.99: no such Python"),
    ],
)
def test_what_cannot_be_made_is_one_line(name, python, line, capsys):
    assert run(["stack", "make", name, *(["--python", python] if python else [])]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"parity: {line}") and error.count("\n") == 1
    assert not made_folder(name).exists()


def test_a_python_that_does_not_fit_is_refused_with_its_version_and_the_row_s(monkeypatch):
    monkeypatch.setattr(stack, "_version", lambda command: (3, 20, 1))
    with pytest.raises(StackError, match=r"^python3\.20: Python 3\.20\.1, and the stack main needs >=3\.11,<3\.14$"):
        make("main", "python3.20")


def test_without_any_python_that_fits_the_line_says_which_do(monkeypatch):
    monkeypatch.setattr(stack.sys, "version_info", (3, 20, 1))
    monkeypatch.setattr(stack.sys, "version", "3.20.1 (x)")
    monkeypatch.setattr(stack, "_version", lambda command: None)
    with pytest.raises(StackError, match=r"^docs-4\.37: needs Python >=3\.11,<3\.12; this is 3\.20\.1, and none"):
        make("docs-4.37")


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("WARNING: Retrying after NewConnectionError('x')\nERROR: No matching distribution found", "no network: "),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("The virtual environment was not created because ensurepip is not available", "this Python cannot make"),
        ("ERROR: No matching distribution found for torch==0\n", "No matching distribution found for torch==0"),
        ("Killed", "Killed"),
        ("", "it ended"),
    ],
)
def test_why_a_step_failed_is_one_line_that_names_the_log(printed, line):
    row = table()["current"]
    stack.log_file("current").parent.mkdir(parents=True)
    command = [sys.executable, "-c", f"print({printed!r}, end=''); raise SystemExit(1)"]
    with pytest.raises(StackError) as raised:
        stack._run(row, command, lambda text: None)
    told = str(raised.value)
    assert told.startswith(f"current: {line}") and "\n" not in told
    assert told.endswith(f"(details: {stack.log_file('current')})")
    assert printed in stack.log_file("current").read_text()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert run(["stack", "make", "current"]) == 2
    assert capsys.readouterr().err.endswith(": Not a directory\n")


def test_pip_is_not_sent_elsewhere_by_the_user_s_variables(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    stack.log_file("current").parent.mkdir(parents=True)
    lines = []
    code = "import os; print(os.environ.get('PYTHONPATH'), os.environ.get('PIP_INDEX_URL'))"
    stack._run(table()["current"], [sys.executable, "-c", code], lines.append)
    assert lines == ["None https://index.example/simple\n"] and os.environ["PYTHONPATH"] == "/elsewhere"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  Downloading https://x/a/torch-2.13.0-cp311-cp311-linux.whl (530.1 MB)", "torch 2.13.0 (530.1 MB)"),
        ("  Using cached flax-0.12.8-py3-none-any.whl (400 kB)", "flax 0.12.8 (400 kB)"),
        ("  Downloading flax-0.12.8-py3-none-any.whl.metadata (11 kB)", None),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
        ("Collecting torch", None),
    ],
)
def test_downloads_are_told(line, told):
    seen = []
    stack._downloads(seen.append)(line)
    assert seen == ([told] if told else [])
