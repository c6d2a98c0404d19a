"""Each divergence that can be shown without this project is: the ledger's entry lives as long as its script says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from parity.core.stacks import Stack, find, resolve_stack, table
from parity.judge.known_issues import Entry, entries

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "divergences"
SCRIPTS = sorted(FOLDER.glob("*.py"))
LEDGER = {entry.id: entry for entry in entries()}


def test_every_entry_has_a_script_and_every_script_is_short():
    assert {script.stem for script in SCRIPTS} == {entry.script or entry.id for entry in LEDGER.values()}
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


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_divergence_of_an_installed_version_still_shows(script):
    entry = LEDGER[script.stem]
    stack = stack_of(entry)
    if stack is None:
        pytest.skip(f"no stack of {entry.versions} is installed: python -m nox -s stack-NAME makes one")
    environment = {**os.environ, **stack.environment, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    command = [str(stack.interpreter), str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
