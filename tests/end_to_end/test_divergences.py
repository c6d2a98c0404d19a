"""Each divergence that can be shown without this project is: the known issues' entry lives as long as its script says
so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from parity.core.stacks import Stack, find, resolve_stack, table
from parity.judge.known_issues import Entry, entries
from tests.end_to_end.conftest import shared_folder

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "divergences"
SCRIPTS = sorted(FOLDER.glob("*.py"))
KNOWN_ISSUES = {entry.id: entry for entry in entries()}
SERVER = Path(__file__).with_name("fork_server.py")

OFFLINE = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


class Group(NamedTuple):
    """Scripts that one process can run in forks: of one stack, with the same frameworks."""

    stack: str
    frameworks: tuple[str, ...]


class Ended(NamedTuple):
    """How a script ended."""

    code: int
    output: str


def test_every_entry_has_a_script_and_every_script_is_short():
    assert {script.stem for script in SCRIPTS} == {entry.script or entry.id for entry in KNOWN_ISSUES.values()}
    for script in SCRIPTS:
        code = script.read_text(encoding="utf-8").split('"""')[2]
        assert len([line for line in code.splitlines() if line.strip()]) <= 25
        assert "parity" not in code


def stack_of(entry: Entry) -> Stack | None:
    """A stack installed here that an entry speaks about: `main` where it does, for that is what scripts are for."""
    for name, row in table().items():
        pins = dict(pin.split("==") for pin in row.requires if "==" in pin)
        if entry.is_of(pins) and (name == "main" or find(name)):
            return resolve_stack(name)
    return None


def group_of(script: Path) -> Group:
    """The group of a script; the stack is "" where none of its versions is installed."""
    entry, text = KNOWN_ISSUES.get(script.stem), script.read_text(encoding="utf-8")
    stack = stack_of(entry) if entry else None
    words = {"jax": ("jax", "Flax"), "tensorflow": ("tensorflow", " TF")}
    frameworks = [name for name, found in words.items() if any(word in text for word in found)]
    return Group(stack.name if stack else "", tuple(frameworks))


GROUPS = {script: group_of(script) for script in SCRIPTS}


@pytest.fixture(scope="module")
def run_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Ended]]:
    """Runs a script by its group's server. One server lives at a time: each holds its frameworks in memory."""
    servers: dict[Group, subprocess.Popen[str]] = {}

    def run(script: Path) -> Ended:
        group = GROUPS[script]
        if group not in servers:
            close(servers)
            servers[group] = start(group, shared_folder(tmp_path_factory) / "compiled")
        server = servers[group]
        print(script, file=server.stdin, flush=True)
        line = server.stdout.readline()
        assert line, f"the process that runs scripts of {group} died"
        return Ended(**json.loads(line))

    yield run
    close(servers)


def start(group: Group, compiled: Path) -> subprocess.Popen[str]:
    """Starts a group's server; ``compiled`` is where JAX keeps what it compiled, which is most of what Flax takes."""
    stack = resolve_stack(group.stack)
    environment = {**os.environ, **stack.environment, **OFFLINE, "JAX_COMPILATION_CACHE_DIR": str(compiled)}
    command = [str(stack.interpreter), str(SERVER), *(str(each) for each in SCRIPTS if GROUPS[each] == group)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def close(servers: dict[Group, subprocess.Popen[str]]) -> None:
    for server in servers.values():
        server.communicate()
    servers.clear()


@pytest.mark.full
@pytest.mark.parametrize("script", sorted(SCRIPTS, key=GROUPS.__getitem__), ids=lambda script: script.stem)
def test_a_divergence_of_an_installed_version_still_shows(run_script, script):
    if not GROUPS[script].stack:
        versions = KNOWN_ISSUES[script.stem].versions
        pytest.skip(f"no stack of {versions} is installed: python -m nox -s stack-NAME makes one")
    done = run_script(script)
    assert done.code == 1 and "Traceback" not in done.output, done.output
