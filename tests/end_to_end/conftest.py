"""The product as its users run it: the command, in a process of its own, on the fixtures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from parity.core.records import Report, read_record

ROOT = Path(__file__).resolve().parents[2]
Audit = Callable[..., tuple[int, Report]]
LONGEST = 3600
"""Seconds one audit may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test here may wait for another's audit before its own begins."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(LONGEST * 2))


def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of traces for all audits, and for all of pytest's workers.

    ``PARITY_TEST_CACHE`` names one for several sessions, so that the second finds what the first captured.
    """
    named = os.environ.get("PARITY_TEST_CACHE")
    return Path(named) if named else shared_folder(tmp_path_factory) / "cache"


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all of pytest's workers have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_cache(tmp_path_factory)


@pytest.fixture
def audit(cache: Path, tmp_path: Path) -> Audit:
    """Runs ``parity audit`` and gives its exit code and its report."""

    def run(
        checkpoints: Sequence[Path],
        *options: str,
        environment: dict[str, str] | None = None,
        codes: Sequence[int] = (0, 1),
    ) -> Any:
        return audited(cache, tmp_path / "run", checkpoints, *options, environment=environment, codes=codes)

    return run


def audited(
    cache: Path,
    out: Path,
    checkpoints: Sequence[Path],
    *options: str,
    environment: dict[str, str] | None = None,
    codes: Sequence[int] = (0, 1),
) -> tuple[int, Report]:
    """The exit code, one of ``codes``, and the report of ``parity audit``."""
    command = [sys.executable, "-m", "parity", "audit", *map(str, checkpoints), *options]
    command += ["--out", str(out), "--cache", str(cache)]
    variables = {**os.environ, **(environment or {})}
    # One audit at a time, whichever worker asks: each takes all cores, and the next finds its traces.
    with FileLock(f"{cache}.lock"):
        finished = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=LONGEST)
    # The end has the totals of each checkpoint and the error; pytest cuts the middle of long messages.
    assert finished.returncode in codes, f"{failures(finished.stdout)}\n{finished.stderr[-2000:]}"
    return finished.returncode, read_record(Report, out / "report.json")


def failures(printed: str) -> str:
    """What the command printed from its first failure on; the last lines if nothing failed."""
    found = re.search(r"^\S+ (fail|error) · ", printed, re.MULTILINE)
    return printed[found.start() :][:4000] if found else printed[-2000:]


def audited_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, checkpoints: Sequence[Path], *options: str, code: int
) -> tuple[Path, Report]:
    """One audit for all of pytest's workers, which ends with ``code``: its directory, ``name``, and its report."""
    out = shared_folder(tmp_path_factory) / name
    with FileLock(f"{out}.lock"):
        if not (out / "report.json").is_file():
            audited(shared_cache(tmp_path_factory), out, checkpoints, *options, codes=(code,))
    return out, read_record(Report, out / "report.json")
