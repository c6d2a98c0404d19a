"""Every command with bad input of every kind: one line that names it and exit code 2, never a traceback, never 3."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parity import api
from parity.cli.main import run
from parity.core.records import write_record
from parity.core.resources import fixture
from tests.sample_reports import report, verdict

FILES = {
    "empty": b"",
    "binary": bytes(range(256)),
    "zero.json": b"\0\0{}",
    "list.json": b"[]",
    "number.json": b"5",
    "deep.json": b"[" * 100_000 + b"]" * 100_000,
    "half.json": b'{"schema_version":2,',
    "bare.json": b'{"schema_version":2}',
    "later.json": b'{"schema_version":999}',
    "surrogate.json": b'{"schema_version":2,"x":"\\udfff"}',
    "latin.json": '{"a":"é"}'.encode("latin-1"),
    "digits.json": b'{"schema_version":' + b"9" * 5000 + b"}",
    "page.html": b"<!DOCTYPE html>",
    "nan.json": b"NaN",
}
NAMES = (*FILES, "absent", "directory", "loop", "pipe", "endless", "a\x1b[31m\n::error::x", "\udcff", "x" * 5000)
WORDS = (
    "nonsense",
    "",
    "::error::x",
    "a\x1b[31m\n::error::x",
    "\udcff",
    "x" * 5000,
    "{}",
    "[bold]",
    "../../etc",
    "a\0b",
)

BART = str(fixture("bart-odd"))
ON_FILES = {
    "audit": ["audit", "FILE"],
    "capture": ["capture", "FILE"],
    "judge": ["judge", "FILE"],
    "show": ["show", "FILE"],
    "gate": ["gate", "FILE", "--baseline", "GOOD"],
    "gate baseline": ["gate", "GOOD", "--baseline", "FILE"],
    "gate update": ["gate", "FILE", "--update", "--baseline", "NEW"],
    "export": ["export", "FILE", "--annotate"],
    "compare": ["compare", "FILE", "FILE"],
    "doctest": ["doctest", "FILE", "--out", "NEW"],
    "fuzz": ["fuzz", "--replay", "FILE"],
    "golden record": ["golden", "record", "FILE"],
    "inputs": ["audit", BART, "--inputs", "FILE", "--out", "NEW"],
}
ON_WORDS = {
    "explain": ["explain", "WORD"],
    "known-issues": ["known-issues", "WORD"],
    "known-issues backend": ["known-issues", "--backend", "WORD"],
    "known-issues check": ["known-issues", "--check", "WORD"],
    "selftest": ["selftest", "WORD"],
    "check": ["audit", BART, "--check", "WORD"],
    "dtype": ["audit", BART, "--dtype", "WORD"],
    "device": ["audit", BART, "--device", "WORD"],
    "class": ["audit", BART, "--class", "WORD"],
    "backend": ["audit", BART, "--backend", "WORD"],
    "jobs": ["audit", BART, "--jobs", "WORD"],
    "option": ["audit", BART, "--WORD"],
    "command": ["WORD"],
    "golden": ["audit", BART, "--golden", "WORD"],
    "checkpoints": ["doctest", "PAGE", "--checkpoints", "WORD"],
    "family": ["fuzz", "--family", "WORD"],
    "side": ["compare", BART, f"{BART}::WORD"],
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "directory").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")  # at which a plain open waits for ever
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "PAGE").write_text("```py\nx = 1\n```\n")
    write_record(report(verdict()), folder / "GOOD")
    return folder


@pytest.fixture(autouse=True)
def nothing_is_captured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bad input is found before anything starts, and what is written goes nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("parity.capture.worker_process.Child.__init__", lambda *a, **o: pytest.fail("captured"))
    monkeypatch.setenv("COLUMNS", "200")


def assert_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if not line.startswith("[")]  # progress
    assert code == 2, (arguments, code, err)
    if "Usage: parity" in err:  # typer's own words on how a command is spelled
        assert "Traceback" not in err
    else:
        assert len(told) == 1 and told[0].startswith("parity: ") and len(told[0]) < 2500, (arguments, err)
        assert "internal error" not in err
    assert all(letter.isprintable() or letter == "\n" for letter in out + err), (arguments, err)
    assert not any(line.lstrip().startswith("::") for line in (out + err).splitlines())


@pytest.mark.parametrize("command", ON_FILES.values(), ids=ON_FILES)
def test_a_file_that_is_none_of_ours(command, there, tmp_path, capsys):
    for name in NAMES:
        if name == "surrogate.json" and command[0] == "doctest":
            continue  # a page may hold any text
        places = {"FILE": str(there / name), "GOOD": str(there / "GOOD"), "NEW": str(tmp_path / "new")}
        assert_refused([places.get(word, word) for word in command], capsys)


@pytest.mark.parametrize("command", ON_WORDS.values(), ids=ON_WORDS)
def test_a_word_that_nobody_knows(command, there, capsys):
    for word in WORDS:
        if not word and command[-1] in ("--WORD", f"{BART}::WORD"):
            continue  # the end of options; whoever is asked where nobody is named
        places = {"PAGE": str(there / "PAGE")}
        assert_refused([places.get(each, each.replace("WORD", word)) for each in command], capsys)


@pytest.mark.parametrize(
    "command",
    [
        ["export", "GOOD", "--junit", "OUT"],
        ["export", "GOOD", "--jsonl", "OUT"],
        ["export", "GOOD", "--summary", "OUT"],
        ["gate", "GOOD", "--update", "--baseline", "OUT"],
        ["selftest", "--out", "OUT"],
        ["doctest", "PAGE", "--out", "OUT"],
        ["audit", BART, "--backend", "hf-config", "--out", "OUT"],
        ["capture", BART, "--backend", "hf-config", "--cache", "OUT"],
        ["cache", "list", "--cache", "OUT"],
        ["cache", "clean", "--cache", "OUT"],
    ],
    ids=lambda command: " ".join(command[:1] + command[-2:-1]),
)
def test_what_cannot_be_written_is_named_before_the_work(command, there, tmp_path, capsys):
    """A file where a folder has to be; also where root may write anything."""
    (tmp_path / "file").write_text("x")
    below = command[0] in ("export", "gate", "selftest")
    places = {"OUT": str(tmp_path / "file" / "x" if below else tmp_path / "file")}
    places |= {name: str(there / name) for name in ("GOOD", "PAGE")}
    assert_refused([places.get(word, word) for word in command], capsys)
    assert (tmp_path / "file").read_text() == "x"


def test_a_device_is_written_to_and_never_replaced(there, tmp_path, capfd):
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    assert run(["export", str(there / "GOOD"), "--jsonl", str(tmp_path / "pipe"), "--junit", str(link)]) == 0
    assert json.loads(reader.communicate(timeout=20)[0].splitlines()[0])["record"] == "run"
    assert link.is_symlink() and (tmp_path / "target").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "more memory than there is"),
        (UnicodeEncodeError("utf-8", "\udfff", 0, 1, "surrogates not allowed"), "cannot be read or written"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (PermissionError(13, "Permission denied", b"/x\xff\x1b"), "/x"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_input_does_to_python_or_the_machine_is_no_bug_of_ours(raised, said, monkeypatch, capsys):
    monkeypatch.setattr(api, "audit", lambda *a, **o: (_ for _ in ()).throw(raised))
    assert_refused(["audit", "a"], capsys)
    monkeypatch.setattr(api, "audit", lambda *a, **o: (_ for _ in ()).throw(raised))
    run(["audit", "a"])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", 2, r"parity: .*No space left on device.*\n"),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_standard_streams_that_cannot_be_written(redirected, code, said):
    root = Path(api.__file__).parents[1]
    for command in ("explain NUM01", "schema") if "full" in redirected else ("schema",):
        ended = subprocess.run(
            f"{sys.executable} -m parity {command} {redirected}",
            shell=True,
            capture_output=True,
            text=True,
            cwd=root,
            check=False,
        )
        assert ended.returncode == code and re.fullmatch(said, ended.stderr), (command, ended.stderr)
