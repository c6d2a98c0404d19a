"""Two fleets compared: what got worse or better, by cell, and what fails the gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.cli.main import run
from parity.core.records import RecordError
from parity.fleet.folder import Folder
from parity.fleet.gate import FleetGate, gate
from parity.fleet.targets import Job, Target
from tests.fleet.sample_fleets import answer, refused, row, written

pytest.importorskip("pyarrow", reason="the table of a fleet needs pyarrow")


def compared(tmp_path: Path, before: dict, after: dict, *others) -> FleetGate:
    return gate(written(tmp_path / "before", before), written(tmp_path / "after", after, *others))


def kinds(found: FleetGate) -> list[str]:
    return [change.kind for change in found.changes]


def failed(tensor: str = "logits", **fields) -> dict:
    return row("fail", first_divergence=tensor, ratio=9.0, **fields)


def test_equal_fleets_pass(tmp_path):
    found = compared(tmp_path, {"a": [row(), failed(case="loss")]}, {"a": [row(), failed(case="loss")]})
    assert found.passed
    assert not found.changes


@pytest.mark.parametrize(
    ("before", "after", "kind", "passed"),
    [
        (row(), failed(), "worse", False),
        (row("known", known_issue="x", first_divergence="logits", ratio=9.0), failed(), "worse", False),
        (row(), row("known", known_issue="x", ratio=9.0), "diverges", False),
        (row(), row("error", reason="crash"), "worse", False),
        (failed(), failed("encoder.hidden.1"), "worse", False),
        (failed(), row(), "better", True),
        (row(ratio=0.1), row(ratio=0.9), "grew", True),
        (row(ratio=0.1), row(ratio=0.2), None, True),
    ],
)
def test_a_cell_that_was_good_and_fails_now_fails_the_gate(tmp_path, before, after, kind, passed):
    found = compared(tmp_path, {"a": [before]}, {"a": [after]})
    assert kinds(found) == ([kind] if kind else [])
    assert found.passed is passed


def test_a_cell_or_checkpoint_that_is_gone_fails_and_a_new_one_does_not(tmp_path):
    gone = refused(Job(Target("b")), "unreadable", "no such directory")
    found = compared(tmp_path, {"a": [row(), row(case="loss")], "b": [row()]}, {"a": [row()], "new": [row()]}, gone)
    assert kinds(found) == ["vanished", "new"]
    assert found.lost == ["b: unreadable: no such directory"]
    assert not found.passed


def test_a_checkpoint_with_other_files_is_named(tmp_path):
    before = written(tmp_path / "before", {"a": [row()]})
    after = written(tmp_path / "after", {}, answer(Job(Target("a")), digest="1" * 64))
    found = gate(before, after)
    assert found.replaced == ["a"]
    assert found.passed


def test_versions_that_differ_are_named(tmp_path):
    before = written(tmp_path / "before", {"a": [row()]})
    after = written(tmp_path / "after", {}, answer(Job(Target("a")), versions={"main": {"torch": "2.14.0"}}))
    assert gate(before, after).versions == ["main: torch 2.13.0 → 2.14.0"]


def test_fleets_that_cannot_be_compared_are_one_line(tmp_path):
    before = written(tmp_path / "before", {"a": [row()]})
    with pytest.raises(RecordError, match="shares no checkpoint"):
        gate(before, written(tmp_path / "other", {"b": [row()]}))
    folder = Folder(tmp_path / "checks")
    folder.begin({"checks": ["NUM02"]}, resume=False)
    with pytest.raises(RecordError, match="was made with another checks"):
        gate(before, folder)


def test_the_command_prints_what_changed_and_ends_with_1(tmp_path, capsys):
    written(tmp_path / "before", {"a": [row()]})
    written(tmp_path / "after", {"a": [failed()]})
    assert run(["fleet", "gate", str(tmp_path / "before"), str(tmp_path / "after")]) == 1
    text = capsys.readouterr().out
    assert "worse" in text
    assert "NUM01 · hf-torch cpu float32 BartForConditionalGeneration · a · forward: pass → fail" in text
    assert text.endswith("gate failed: 1 checkpoint, 1 cell changed, 1 of them worse\n")
    assert run(["fleet", "gate", str(tmp_path / "before"), str(tmp_path / "before")]) == 0
    assert run(["fleet", "gate", str(tmp_path / "nothing"), str(tmp_path / "before")]) == 2
