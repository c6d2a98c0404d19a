"""The task of one checkpoint: what ends it without an audit, and what it leaves of the process as it was."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from parity import api
from parity.capture.memory import WORKER_BASE
from parity.core.errors import InputError
from parity.core.resources import fixture
from parity.core.stacks import StackError
from parity.fleet import audit_one as module
from parity.fleet.audit_one import IDLE, LEFT_AFTER, Asked, audit_one, differing, memory_needed, versions_here
from parity.fleet.outcome import Answer
from parity.fleet.targets import Job, Target
from reference.errors import CheckpointError
from tests.fleet.sample_fleets import OPTIONS

ENOUGH = 1 << 40
MODEL = Job(Target(str(fixture("bart-tiny"))))


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(replace(OPTIONS, cache=tmp_path / "cache"), 60.0, ENOUGH)


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def audit(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(api, "audit", audit)


def test_memory_follows_from_the_headers_of_the_weights():
    small, larger = memory_needed(fixture("bart-odd")), memory_needed(fixture("bart-tiny"))
    assert IDLE + WORKER_BASE < small < larger < IDLE + WORKER_BASE + 10 * 1_500_000


def test_a_reservation_that_is_too_small_is_answered_with_what_is_needed(asked):
    answer = audit_one(MODEL, asked, 1000)
    assert (answer.kind, answer.memory) == ("more memory", memory_needed(fixture("bart-tiny")))


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (Target("/nowhere/at-all"), "/nowhere/at-all: no such directory"),
        (Target(str(fixture("bart-tiny")), "v1"), "a directory has no revision v1"),
        (Target("owner/absent"), "--offline forbids to fetch it"),
    ],
)
def test_what_is_no_checkpoint_is_unreadable(asked, target, cause):
    asked = replace(asked, options=replace(asked.options, offline=True))
    answer = audit_one(Job(target), asked, ENOUGH)
    assert (answer.kind, answer.outcome.state) == ("unreadable", "unreadable")
    assert cause in answer.outcome.reason
    assert answer.outcome.checkpoint == target.source


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (CheckpointError("config.json", "not JSON"), "unreadable", "config.json: not JSON"),
        (StackError("docs-4.37: not installed"), "unusable", "docs-4.37: not installed"),
        (InputError("one line\x1b"), "failed", "one line\\x1b"),
        (OSError(28, "No space left on device"), "failed", "[Errno 28] No space left on device"),
        (MemoryError(), "failed", "MemoryError"),
        (KeyError("x"), "failed", "internal error, a bug of parity: KeyError: 'x'"),
    ],
)
def test_whatever_an_audit_raises_is_the_answer(asked, monkeypatch, error, kind, reason):
    raising(error, monkeypatch)
    answer = audit_one(MODEL, asked, ENOUGH)
    assert (answer.kind, answer.outcome.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("name", "theirs"), [("encdec-parity", "0.0.1"), ("Ray", "2.0.0"), ("Ray", "none"), ("Python", "3.8")]
)
def test_another_version_on_a_machine_is_answered_before_anything_is_read(asked, monkeypatch, name, theirs):
    """The machine's versions are substituted: there is one version of each here."""
    ours = versions_here()
    monkeypatch.setattr(module, "versions_here", lambda: {**ours, name: theirs})
    answer = audit_one(Job(Target("/nowhere/at-all")), asked, ENOUGH)
    assert answer.kind == "unusable"
    assert answer.outcome.reason == f"has {name} {theirs}, and the command is run with {name} {ours[name]}"


def test_every_version_that_differs_is_named():
    command = {"Ray": "2.60.0", "Python": "3.11", "encdec-parity": "1.0"}
    assert not differing(command, dict(command))
    assert (
        differing(command, {"Python": "3.12", "encdec-parity": "1.0"})
        == "has Python 3.12, Ray of no known version, and the command is run with Python 3.11, Ray 2.60.0"
    )


def test_the_time_limit_stops_what_catches_every_exception(asked, monkeypatch):
    def audit(*arguments: object, **named: object) -> None:
        while True:
            try:
                time.sleep(10)
            except Exception:
                continue

    monkeypatch.setattr(api, "audit", audit)
    before = signal.getsignal(signal.SIGALRM)
    answer = audit_one(MODEL, replace(asked, limit=0.2), ENOUGH)
    assert (answer.kind, answer.outcome.state) == ("time limit", "set aside")
    assert signal.getsignal(signal.SIGALRM) is before


def test_the_process_has_the_command_s_variables_for_the_time_of_the_audit(asked, monkeypatch):
    seen: list[object] = []

    def audit(*arguments: object, **named: object) -> Answer:
        seen.extend([os.environ.get("OMP_NUM_THREADS"), sys.argv])
        raise InputError("seen")

    monkeypatch.setattr(api, "audit", audit)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arguments = sys.argv
    asked = replace(asked, environment={"OMP_NUM_THREADS": None}, command=("parity", "fleet", "list.txt"))
    audit_one(MODEL, asked, ENOUGH)
    assert seen == [None, ["parity", "fleet", "list.txt"]]
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert sys.argv is arguments


def test_run_directories_of_ended_processes_are_removed_after_a_day(asked, monkeypatch):
    raising(InputError("no"), monkeypatch)
    folder = asked.options.cache / "fleet"
    for name, age in (("old", LEFT_AFTER + 60), ("new", 60.0)):
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (0, time.time() - age))
    audit_one(MODEL, asked, ENOUGH)
    assert [path.name for path in folder.iterdir()] == ["new"]
