"""Each divergence that can be shown without this project is: the ledger's entry lives as long as its script says so."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from parity.ledger import entries

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "divergences"
SCRIPTS = sorted(FOLDER.glob("*.py"))
LEDGER = {entry.id: entry for entry in entries()}


def test_every_script_has_its_entry_and_is_short():
    assert SCRIPTS and {script.stem for script in SCRIPTS} <= set(LEDGER)
    for script in SCRIPTS:
        code = script.read_text(encoding="utf-8").split('"""')[2]
        assert len([line for line in code.splitlines() if line.strip()]) <= 25
        assert "parity" not in code


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_divergence_of_the_installed_version_still_shows(script):
    for library, versions in LEDGER[script.stem].versions.items():
        assert SpecifierSet(versions).contains(metadata.version(library)), f"{library} is of another version"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
