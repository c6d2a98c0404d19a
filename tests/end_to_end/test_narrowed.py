"""``--check``: a candidate is asked only what the check reads, and every verdict and tolerance is the full audit's."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from parity.core.case import Case
from parity.core.records import Manifest, Report, read_record, write_record
from parity.core.resources import fixture
from parity.judge.checks import CHECKS
from parity.judge.judge import judge, select_checks
from parity.judge.selection import narrowed
from tests.end_to_end.conftest import audited_once

pytestmark = pytest.mark.full

ROLES = ("oracle", "noise_floor", "candidate", "file")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A run of every check on every backend of one fixture."""
    return audited_once(tmp_path_factory, "bart-odd-on-every-backend", [fixture("bart-odd")], code=0)


def found(report: Report, check: str) -> dict[tuple[str, ...], tuple]:
    return {
        (v.case, v.backend, v.variant): (v.status, v.error, v.tolerance, v.reason)
        for v in report.verdicts
        if v.check == check
    }


def captured_for(directory: Path, checks: Sequence[str], into: Path) -> int:
    """The run as a capture for these checks leaves it: its manifest without what they do not need.

    Returns:
        How many of the candidates' traces are left.
    """
    manifest = read_record(Manifest, directory / "manifest.json")
    ((name, cases),) = manifest.cases.items()
    kept = narrowed([Case.from_json(case) for case in cases], select_checks(checks))
    roles = {case.name: case.notes.get("roles", ROLES) for case in kept}
    traces = [each for each in manifest.traces if manifest.subjects[each.subject].role in roles.get(each.case, ())]
    changed = {"cases": {name: [case.to_json() for case in kept]}, "traces": traces}
    into.mkdir()
    write_record(manifest.model_copy(update=changed), into / "manifest.json")
    (into / "traces").symlink_to(directory / "traces")
    return sum(manifest.subjects[each.subject].role == "candidate" for each in traces)


@pytest.mark.parametrize("check", [each for each in CHECKS if each != "LAYER01"])
def test_a_check_alone_gives_the_verdicts_and_tolerances_of_the_full_audit(whole, check, tmp_path):
    directory, report = whole
    asked = captured_for(directory, [check], tmp_path / "run")
    alone = judge(tmp_path / "run", checks=[check])
    assert found(alone, check) == found(report, check)
    everything = read_record(Manifest, directory / "manifest.json")
    all_asked = sum(everything.subjects[each.subject].role == "candidate" for each in everything.traces)
    assert asked < all_asked
    shutil.rmtree(tmp_path / "run")


def test_the_command_captures_what_the_check_reads(whole, audit):
    _, report = whole
    code, alone = audit([fixture("bart-odd")], "--backend", "hf-torch", "--check", "NUM04")
    assert code == 0 and alone.selected == ["NUM04"]
    expected = {cell: seen for cell, seen in found(report, "NUM04").items() if cell[1] == "hf-torch"}
    assert found(alone, "NUM04") == expected and len(expected) == 8
    assert alone.cost.traces_cached + alone.cost.traces_captured < 160
