"""Stacks: the table agrees with the constraints and with what is written about it, and a name finds its interpreter."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from parity.core import stacks
from parity.core.backends import BACKENDS, audited
from parity.core.resources import PACKAGE, data
from parity.core.stacks import StackError, find, resolve_stack, table, variable

ROOT = Path(__file__).parents[2]
NAMES = ("main", "docs-4.37", "current", "gpu")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (stacks.MAIN_ROW, *(variable(name) for name in NAMES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def constraints(name: str) -> dict[str, Requirement]:
    lines = data(f"constraints/{name}.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_the_table_has_the_four_stacks():
    assert tuple(table()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_direct_pins_are_exact_and_stand_in_the_constraints_too(name):
    row, pinned = table()[name], constraints(name)
    for text in (*row.requires, *row.examples, *row.no_deps):
        direct = Requirement(text)
        assert re.fullmatch(r"==[\w.]+", str(direct.specifier)), text
        assert pinned[canonicalize_name(direct.name)].specifier == direct.specifier, text


@pytest.mark.parametrize("name", NAMES)
def test_constraints_are_exact_sorted_and_resolve_anywhere(name):
    pinned = constraints(name)
    assert list(pinned) == sorted(pinned)
    for requirement in pinned.values():
        assert requirement.url is None
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), "a local version resolves on one machine only"


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_offers_only_backends_there_are_and_says_what_it_is_for(name):
    row = table()[name]
    assert set(row.backends) <= set(BACKENDS)
    assert row.purpose
    SpecifierSet(row.python)
    assert re.fullmatch(r">=3\.\d+,<3\.\d+", row.python), "noxfile.py reads it so"


def test_the_keras_switch_is_set_where_it_is_needed_and_taken_away_where_it_breaks():
    assert dict(table()["main"].environment) == {"TF_USE_LEGACY_KERAS": "1"}
    assert table()["docs-4.37"].unset == ("TF_USE_LEGACY_KERAS",)


def test_every_constraints_file_belongs_to_a_stack():
    assert {path.stem for path in data("constraints").glob("*.txt")} == set(table())


def test_the_extra_asks_for_what_main_is_made_of():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = set(project["optional-dependencies"]["main"])
    row = table()["main"]
    names = {Requirement(text).name for text in (*row.requires, *row.no_deps)} - {"librosa"}
    # pip resolves the extra by itself, and tf-keras asks for `tensorflow`; `tensorflow-cpu` is the smaller peer
    # reference.
    assert extra == (names - {"numpy", "tensorflow-cpu"}) | {"tensorflow"}


def test_the_extra_for_examples_is_what_the_stacks_install_for_them():
    """Without librosa's own dependencies, which pip resolves; `current` has no audio files to read.

    TensorFlow brings protobuf, which sentencepiece's files are read by, where stand-ins are made.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {*project["optional-dependencies"]["docs"]} - {"protobuf"}
    rows = {name: {Requirement(text).name for text in (*row.examples, *row.no_deps)} for name, row in table().items()}
    assert extra <= rows["main"] and extra <= rows["docs-4.37"]
    assert extra - {"librosa", "soundfile"} == rows["current"]


def test_the_table_in_contributing_is_the_table():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert stacks.as_markdown() in text, (
        "run: python -m parity.core.stacks, and put what it prints into CONTRIBUTING.md"
    )


def test_main_is_the_running_interpreter():
    stack = resolve_stack("main")
    assert (stack.name, stack.interpreter) == ("main", Path(sys.executable))
    assert stack.environment == {"TF_USE_LEGACY_KERAS": "1"}
    assert stack.backends == table()["main"].backends


def without_torch(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(stacks.importlib.metadata, "version", version)


def made(tmp_path, name):
    """A stack as ``parity stack make`` leaves it."""
    python = tmp_path / "encdec-parity" / "stacks" / name / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (python.parents[1] / stacks.STAMP).write_text("{}")
    return python


def test_main_is_the_stack_that_was_made_where_the_command_has_no_pytorch(monkeypatch, tmp_path):
    monkeypatch.setattr(stacks, "data", lambda name: PACKAGE / name if "toml" in name else tmp_path / "parity")
    without_torch(monkeypatch)
    assert resolve_stack("main").interpreter == Path(sys.executable), (
        "none is made: the capture reports what is missing"
    )
    python = made(tmp_path, "main")
    assert resolve_stack("main").interpreter == python
    monkeypatch.setenv(stacks.MAIN_ROW, "gpu")
    assert resolve_stack("main").interpreter == Path(sys.executable)
    python = made(tmp_path, "gpu")
    assert resolve_stack("main").interpreter == python


def test_a_made_main_gives_way_to_the_command_s_own_pytorch_and_to_the_variable(monkeypatch, tmp_path, interpreter):
    made(tmp_path, "main")
    assert resolve_stack("main").interpreter == Path(sys.executable)
    monkeypatch.setenv("PARITY_STACK_MAIN", str(interpreter))
    assert resolve_stack("main").interpreter == interpreter


def test_main_can_be_made_from_another_row(monkeypatch):
    monkeypatch.setenv(stacks.MAIN_ROW, "gpu")
    stack = resolve_stack("main")
    assert (stack.name, stack.backends) == ("main", table()["gpu"].backends)
    assert stack.environment == {}


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    path = tmp_path / "nightly" / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.symlink_to(sys.executable)
    return path


def test_a_path_is_called_by_its_environment_and_keeps_its_link(interpreter):
    stack = resolve_stack(str(interpreter))
    assert (stack.name, stack.interpreter) == ("nightly", interpreter)
    assert stack.backends == tuple(audited())


def test_a_path_can_be_given_a_name_and_a_row_s_name_brings_its_environment(interpreter):
    assert resolve_stack(f"edited={interpreter}").name == "edited"
    stack = resolve_stack(f"docs-4.37={interpreter}")
    assert (stack.environment, stack.backends) == ({"TF_USE_LEGACY_KERAS": ""}, table()["docs-4.37"].backends)


def test_an_environment_variable_names_a_stack(interpreter, monkeypatch):
    monkeypatch.setenv("PARITY_STACK_DOCS_4_37", str(interpreter))
    assert resolve_stack("docs-4.37").interpreter == interpreter


def test_a_stack_that_nox_made_is_found_once_it_is_finished(tmp_path, monkeypatch):
    python = tmp_path / ".nox" / "stacks" / "current" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(stacks, "data", lambda name: tmp_path / "parity" / name)
    assert find("current") is None
    (python.parents[1] / "parity-stack.json").write_text("{}")
    assert find("current") == python


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nonsense",
            "nonsense: no such stack; there are main, docs-4.37, current, gpu, or a path to a Python interpreter",
        ),
        ("/no/such/python", "/no/such/python: no such interpreter"),
        ("x=/no/such/python", "/no/such/python: no such interpreter"),
        (
            f"main={sys.executable}",
            f"{sys.executable}: 'main' is the oracle's stack: name this NAME=PATH, or set PARITY_STACK_MAIN",
        ),
    ],
)
def test_what_cannot_be_found_is_one_line(text, message):
    with pytest.raises(StackError) as raised:
        resolve_stack(text)
    assert str(raised.value) == message


def test_a_stack_that_is_not_installed_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(stacks, "find", lambda name: None)
    with pytest.raises(
        StackError,
        match=r"^docs-4\.37: not installed; to create it: python -m nox -s stack-docs-4\.37, or set PARITY_STACK_",
    ):
        resolve_stack("docs-4.37")


def test_a_variable_that_names_no_file_is_refused(monkeypatch):
    monkeypatch.setenv("PARITY_STACK_CURRENT", "/gone")
    with pytest.raises(StackError, match=r"^/gone: no such interpreter \(from PARITY_STACK_CURRENT\)$"):
        resolve_stack("current")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], []),
        (["a", "--stack", "docs-4.37", "--stack=current", "--stack", "docs-4.37"], ["docs-4.37", "current"]),
        (["--stack", "main", "--stack", "x=/a/python", "--stack", "/a/python", "--stack"], []),
    ],
)
def test_nox_makes_the_stacks_that_an_audit_names(given: list[str], named: list[str]) -> None:
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    assert noxfile._stacks_named(given) == named
