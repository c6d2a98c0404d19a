"""A third party's backend: the package that ``parity init backend`` writes, and the test of its interface."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity.core.errors import InputError
from parity.tools.init.backend import init_backend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path):
    """The written package, installed as far as an entry point needs it; ``run`` tests it with pytest."""
    init_backend(tmp_path, "my-engine")
    folder = tmp_path / "my-engine"
    info = folder / "my_engine-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-engine\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[encdec_parity.backends]\nmy-engine = my_engine:MyEngine\n")
    return folder


def run(package, *options, name="my-engine"):
    # pytest needs the project's folder as an argument, or it would use this project's settings.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "parity.pytest_plugin", "--rootdir", str(package)]
    command += ["-c", "/dev/null", "--parity-backend-conformance", name, *options]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    return subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=300, env=variables)


def edit(package, before, after):
    path = package / "my_engine" / "__init__.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_the_written_backend_keeps_the_interface(package):
    done = run(package, "-rA")
    assert done.returncode == 0, done.stdout
    assert "my-engine::import\n" in done.stdout and "my-engine::case forward\n" in done.stdout


@pytest.mark.full
@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("import numpy as np\n", "import numpy as np\nimport torch\n", "my_engine imports torch at the top"),
        ("def load(self, checkpoint", "def open(self, checkpoint", "MyEngine has no method load"),
        ('"not written yet" for word in WORDS', '"" for word in WORDS', "no reason for load"),
        ("lacking = {", 'lacking = {"fly": "no wings"} | {', "no capability is named fly"),
        ('return {"logits": output.logits}', 'return {"scores": output.logits}', "returns no field with a documented"),
        ('return {"logits": output.logits}', 'raise OSError("gone")', "raises OSError: gone"),
        (
            "        with torch.no_grad():",
            "        torch.set_default_dtype(torch.float64)\n        with torch.no_grad():",
            "changes global settings and does not restore them: torch.default_dtype",
        ),
    ],
)
def test_each_broken_requirement_is_named(package, before, after, problem):
    edit(package, before, after)
    done = run(package)
    assert done.returncode == 1 and problem in done.stdout, done.stdout


def test_a_backend_that_is_not_installed_is_bad_input(package):
    done = run(package, name="other-engine")
    assert done.returncode == 4 and "no entry point of the group encdec_parity.backends is named other-engine" in (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("name", ["My Engine", "hf-torch", "../up", ""])
def test_a_name_that_cannot_be_is_refused(tmp_path, name):
    with pytest.raises(InputError):
        init_backend(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_kept(tmp_path):
    init_backend(tmp_path, "my-engine")
    path = tmp_path / "my-engine" / "my_engine" / "__init__.py"
    path.write_text("mine\n")
    assert [change.written for change in init_backend(tmp_path, "my-engine")] == [False, False, False]
    assert path.read_text() == "mine\n"
    init_backend(tmp_path, "my-engine", force=True)
    assert "class MyEngine" in path.read_text()
