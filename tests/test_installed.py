"""The wheel alone, in an environment without any framework: what the command finds, does and reports there.

Nothing is fetched: the environment holds links to this one's copies of what the wheel depends on, and the stack
``main`` in the user's data directory is a link to the environment of the running interpreter.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from parity.core.stacks import STAMP, table
from parity.tools.stack import own_requirements

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.full, pytest.mark.skipif(sys.platform == "win32", reason="links")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it depends on; gives its ``bin``."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(packages)
        script = content.read(next(name for name in content.namelist() if name.endswith("entry_points.txt"))).decode()
    for distribution in _closure(own_requirements(table()["main"])):
        _link(distribution, packages)
    assert "parity = parity.__main__:main" in script
    command = folder / "venv" / "bin" / "parity"
    command.write_text(f"#!{folder}/venv/bin/python\nfrom parity.__main__ import main\nmain()\n")
    command.chmod(0o755)
    return command.parent


def _closure(requirements: list[str]) -> Iterator[importlib.metadata.Distribution]:
    """The distributions that these requirements bring, each once."""
    wanted, seen = [Requirement(each) for each in requirements], set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        wanted += map(Requirement, found.requires or [])
        yield found


def _link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture
def parity(installed, tmp_path):
    """Runs the installed command as a user who has nothing else."""
    (tmp_path / "work").mkdir()

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARITY", "PYTHON", "TF_"))}
        own = {
            "HOME": str(tmp_path),
            "XDG_DATA_HOME": str(tmp_path / "data"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        return subprocess.run(
            [str(installed / "parity"), *arguments],
            env={**kept, **own, "COLUMNS": "300", **variables},
            cwd=tmp_path / "work",
            capture_output=True,
            text=True,
        )

    return run


def fixture_of(installed: Path) -> str:
    return str(next(installed.parent.glob("lib/python*/site-packages/parity/fixtures/checkpoints/bart-tiny")))


def test_without_any_framework_each_command_says_what_to_type(parity, installed):
    assert parity("--version").stdout.startswith("encdec-parity ")
    audited = parity("audit", fixture_of(installed))
    assert (audited.returncode, audited.stdout) == (2, "") and audited.stderr.count("\n") == 1
    assert "parity stack make main, or pip install torch transformers" in audited.stderr
    doctor = parity("doctor")
    assert doctor.returncode == 2 and "nox" not in doctor.stdout
    assert "next      parity stack make main, or set PARITY_STACK_MAIN=PATH/TO/PYTHON" in doctor.stdout
    listed = parity("stack", "list")
    assert listed.stdout.count("not here; parity stack make ") == len(table())


def test_a_stack_without_network_or_python_is_one_line(parity):
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    unreachable |= {"PIP_NO_CACHE_DIR": "1", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    made = parity("stack", "make", "current", **unreachable)
    assert made.returncode == 2
    assert made.stderr.splitlines()[-1].startswith("parity: current: no network: the package index cannot be reached")
    assert "incomplete; parity stack make current" in parity("stack", "list").stdout
    refused = parity("stack", "make", "current", "--python", "/no/such/python")
    assert refused.stderr == "parity: /no/such/python: no such Python\n"


def test_the_oracle_and_the_library_are_asked_in_the_made_stack(parity, installed, tmp_path):
    if not Path(sys.prefix, STAMP).is_file():
        pytest.skip("the running interpreter is no stack that nox made")
    stack = tmp_path / "data" / "encdec-parity" / "stacks" / "main"
    stack.parent.mkdir(parents=True)
    stack.symlink_to(sys.prefix)
    found = parity("doctor")
    assert found.returncode == 0 and f"  {stack}/bin/python" in found.stdout
    audited = parity("audit", fixture_of(installed), "--backend", "hf-torch", "--check", "NUM04", "--out", "run")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    report = json.loads((tmp_path / "work" / "run" / "report.json").read_text())
    assert report["totals"]["pass"] > 0
    manifest = json.loads((tmp_path / "work" / "run" / "manifest.json").read_text())
    assert f"{stack}/bin/python" in json.dumps(manifest)
