"""The command line: what it asks of the API, how it ends, and that bad input is one line and never a traceback."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parity import __version__, api
from parity.capture.task import CaptureError, Event
from parity.cli.main import run
from parity.core.options import AuditOptions
from parity.core.process import process_start
from parity.core.records import CheckpointRecord, Manifest, SubjectRecord, TraceRecord, write_record
from parity.core.resources import fixture
from parity.core.subject import FILE, ORACLE, Subject
from parity.judge.checks import CHECKS
from parity.judge.known_issues import entries
from reference.errors import CheckpointError
from tests.sample_reports import failure, report, verdict

COMMANDS = (
    "audit",
    "capture",
    "judge",
    "gate",
    "export",
    "show",
    "explain",
    "known-issues",
    "selftest",
    "fuzz",
    "doctor",
    "doctest",
    "schema",
    "cache",
    "golden",
    "compare",
    "stack",
    "init",
    "fleet",
)


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Replaces the work of an audit; holds what was asked, and under ``report`` what is to come back."""
    held: dict = {"report": report(verdict())}

    def audit(checkpoints, options, progress, began):
        held.update(checkpoints=checkpoints, options=options, began=began)
        progress(Event("planned", total=9, cached=4, done=4))
        return held["report"]

    monkeypatch.setattr(api, "audit", audit)
    return held


def one_line(capsys: pytest.CaptureFixture) -> str:
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    return line


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS), ["cache", "list"], ["cache", "clean"]])
def test_every_command_explains_itself(arguments, capsys):
    assert run([*arguments, "--help"]) == 0
    assert "Usage: parity" in capsys.readouterr().out


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in ("cache", "fleet", "golden", "stack")])
def test_the_help_of_every_command_has_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    assert re.search(rf"^ Examples?\b.*: parity {command}", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("command", ["audit", "capture", "judge"])
def test_the_help_of_what_judges_and_captures_tells_the_exit_codes(command, capsys):
    run([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "0: only pass, known and skip. 1: any fail or error. 2: usage, input that cannot be read, or nothing" in text
    assert "3: internal error, a bug of parity. 130: interrupted" in text


def test_help_comes_at_once():
    """Nothing heavy may be imported for it: the least CPU time of three tries, because the machine may be busy."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "parity", "--help"],
            check=True,
            capture_output=True,
            cwd=Path(api.__file__).parents[1],
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 1.0


def test_the_version_is_the_package_s(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"encdec-parity {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["audit"], ["capture"], ["judge"], ["nonsense"], ["audit", "x", "--jobs", "0"], ["audit", "x", "--jobs", "many"]],
)
def test_wrong_usage_is_2(arguments, capsys):
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_dtype_that_nobody_has_is_one_line(capsys, tmp_path):
    """Not an audit in which nothing can be asked and the weight file is to blame."""
    assert run(["audit", str(fixture("bart-odd")), "--dtype", "bf16", "--out", str(tmp_path / "run")]) == 2
    assert (
        one_line(capsys)
        == "parity: no dtype is called bf16; did you mean bfloat16? (there are float64, float32, bfloat16, float16)"
    )
    assert not (tmp_path / "run").exists()


def test_audit_hands_on_what_was_asked(asked):
    arguments = ["audit", "a", "b", "--backend", "hf-torch/sdpa", "--backend", "hf-tf", "--check", "NUM01", "--device"]
    arguments += [
        "cuda",
        "--dtype",
        "bfloat16",
        "--stack",
        "x=/y",
        "--inputs",
        "i.jsonl",
        "--out",
        "o",
    ]
    arguments += ["--class", "BartModel", "--cache", "c", "--time-limit", "9", "--jobs", "1", "--strict", "--offline"]
    assert run(arguments) == 0
    assert asked["checkpoints"] == ["a", "b"]
    assert asked["options"] == AuditOptions(
        backends=("hf-torch/sdpa", "hf-tf"),
        checks=("NUM01",),
        device="cuda",
        dtypes=("bfloat16",),
        stacks=("main", "x=/y"),
        inputs=Path("i.jsonl"),
        out=Path("o"),
        model_class="BartModel",
        cache=Path("c"),
        time_limit=9.0,
        jobs=1,
        strict=True,
        offline=True,
    )


def test_lists_with_commas_words_and_the_stop_at_the_first_failure_are_handed_on(asked):
    assert run(["audit", "a", "--backend", "hf-torch,hf-tf", "--check", "NUM01,LOSS01", "-k", "not loss", "-x"]) == 0
    options = asked["options"]
    assert (options.backends, options.checks) == (("hf-torch", "hf-tf"), ("NUM01", "LOSS01"))
    assert (options.keywords, options.exit_first) == ("not loss", True)


@pytest.mark.parametrize(("option", "lines"), [("-q", 1), ("-v", None), ("--quiet", 1)])
def test_output_is_longer_or_shorter_as_asked(asked, capsys, option, lines):
    assert run(["audit", "a", option]) == 0
    out, progress = capsys.readouterr()
    assert len(out.splitlines()) == lines or "\nCells\n  NUM01    pass" in out
    assert (progress == "") == (option != "-v")


def test_the_cost_of_an_audit_counts_from_the_start_of_the_command(asked):
    before = time.monotonic()
    assert run(["audit", "a"]) == 0
    assert asked["began"] == pytest.approx(process_start(), abs=0.02) and asked["began"] < before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--check", "NUM1"], "no check or group is called NUM1; did you mean NUM01?"),
        (["--class", "BartModl"], "no class that is judged here is called BartModl; did you mean BartModel?"),
        (["-k", "a and"], "-k a and: a word is missing; an expression is words with and, or, not and parentheses"),
        (["-k", "nonsense"], "-k nonsense: no check, case or backend matches; parity explain lists the checks"),
    ],
)
def test_a_mistyped_name_is_one_line_with_the_nearest(arguments, line, capsys, monkeypatch):
    monkeypatch.setattr("parity.capture.pipeline.capture", lambda *arguments, **options: pytest.fail("captured"))
    assert run(["audit", str(fixture("bart-odd")), *arguments]) == 2
    assert one_line(capsys) == f"parity: {line}"


def test_audit_s_own_choices(asked, capsys):
    assert run(["audit", "a"]) == 0
    out = asked["options"].out
    assert asked["options"] == AuditOptions(out=out)
    assert re.fullmatch(r"runs/\d{8}-\d{6}", out.as_posix())
    assert f"report {out}/report.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([verdict(), verdict("known"), verdict("skip")], 0),
        ([verdict("known"), verdict("skip")], 0),
        ([verdict(), failure()], 1),
        ([verdict(), verdict("error")], 1),
        ([verdict("skip"), verdict("skip")], 2),
        ([], 2),
    ],
)
def test_the_exit_code_is_the_worst_verdict(asked, verdicts, code):
    asked["report"] = report(*verdicts)
    assert run(["audit", "a"]) == code


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (CheckpointError("/models/x/config.json", "no such file"), "parity: /models/x/config.json: no such file"),
        (CaptureError("/full: no space left on device"), "parity: /full: no space left on device"),
        (PermissionError(13, "Permission denied", "/root/out"), "parity: /root/out: Permission denied"),
        (CheckpointError("/models/x", "two\nlines"), "parity: /models/x: two lines"),
    ],
)
def test_bad_input_is_one_line_and_2(monkeypatch, capsys, raised, line):
    monkeypatch.setattr(api, "audit", lambda *arguments, **options: (_ for _ in ()).throw(raised))
    assert run(["audit", "a"]) == 2
    assert one_line(capsys) == line


def test_an_unknown_check_is_refused_before_anything_is_captured(capsys, monkeypatch):
    monkeypatch.setattr(api, "capture", lambda *arguments, **options: pytest.fail("captured"))
    assert run(["audit", "a", "--check", "NUM99"]) == 2
    assert "NUM99" in one_line(capsys)


def test_the_known_issues_is_a_table_worst_first(capsys):
    assert run(["known-issues"]) == 0
    text = capsys.readouterr().out
    assert all(entry.id in text for entry in entries())
    ranks = [line.split()[0] for line in text.splitlines() if line.startswith(("critical ", "high ", "low "))]
    assert list(dict.fromkeys(ranks)) == ["critical", "high", "low"] and len(ranks) == len(entries())
    assert ranks == sorted(ranks, key=["critical", "high", "low"].index)
    assert text.splitlines()[-1].startswith(f"{len(entries())} of {len(entries())} entries: ")


def test_one_entry_of_the_known_issues_is_told_in_full(capsys):
    known = next(entry for entry in entries() if entry.config)
    assert run(["known-issues", known.id]) == 0
    text = capsys.readouterr().out
    for said in (known.cause, known.upstream, known.effect, ", ".join(known.checks), *known.config):
        assert said in text
    assert f"1 of {len(entries())} entries: 1 {known.severity}" in text


def test_the_known_issues_can_be_asked_for_one_backend_and_severity(capsys):
    assert run(["known-issues", "--backend", "hf-tf", "--severity", "critical"]) == 0
    text = capsys.readouterr().out
    for entry in entries():
        assert (entry.id in text.split()) == ("hf-tf" in entry.backends and entry.severity == "critical")


def test_the_known_issues_of_a_check(capsys):
    assert run(["known-issues", "--check", "TOK01,losses"]) == 0
    text = capsys.readouterr().out
    checks = {"TOK01", *(check.id for check in CHECKS.values() if check.group == "losses")}
    shown = {entry.id for entry in entries() if checks & set(entry.checks)}
    assert shown and {entry.id for entry in entries() if entry.id in text.split()} == shown


@pytest.mark.parametrize(
    ("arguments", "there"),
    [(["x"], entries()[0].id), (["--backend", "x"], "hf-tf"), (["--severity", "x"], "critical, high, low")],
)
def test_what_the_known_issues_does_not_know_is_one_line(arguments, there, capsys):
    assert run(["known-issues", *arguments]) == 2
    line = one_line(capsys)
    assert line.startswith("parity: no ") and " is called x; there are " in line and there in line


def test_a_directory_that_is_not_there_is_one_line(capsys):
    assert run(["audit", "./no/such/directory"]) == 2
    assert "no/such/directory" in one_line(capsys)


def test_a_bug_of_ours_is_one_line_that_names_the_details(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(api, "audit", lambda *arguments, **options: {}["missing"])
    assert run(["audit", "a"]) == 3
    line = one_line(capsys)
    assert line.startswith("parity: internal error, a bug of parity: KeyError: 'missing' (details: ")
    details = Path(line.partition("details: ")[2].rstrip(")"))
    assert details.parent == tmp_path
    assert "KeyError: 'missing'" in details.read_text()


def test_ctrl_c_is_130_and_says_that_traces_are_kept(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "audit", interrupted)
    assert run(["audit", "a"]) == 130
    assert "kept" in one_line(capsys)


BART = "BartForConditionalGeneration"


def manifest(outcome: str, path: str | None = None) -> Manifest:
    """One candidate that was asked to load and ended so."""
    asked = [ORACLE, FILE, Subject("hf-torch")]
    subjects = [
        SubjectRecord(
            backend=s.backend,
            variant=s.variant,
            stack=s.stack,
            device=s.device,
            dtype=s.dtype,
            role=s.role,
            label=s.label,
            model_class="Bart",
            documented_class=BART,
            capabilities=["load", "cpu", "float32"],
            environment="main",
        )
        for s in asked
    ]
    config = {"model_type": "bart"}
    trace = TraceRecord(checkpoint="c", subject=2, case="load", outcome=outcome, path=path, reason="SIGABRT")
    return Manifest(
        parity_version="0",
        command=[],
        started="2026-11-21T00:00:00+00:00",
        environments={"main": {}},
        checkpoints=[CheckpointRecord(name="c", path="/models/c", digest="0", config=config, documented_class=BART)],
        subjects=subjects,
        cases={
            "c": [
                {
                    "name": "load",
                    "operation": "load",
                    "inputs": {},
                    "requires": ["load"],
                    "undefined": [],
                    "notes": {},
                    "parents": [],
                }
            ]
        },
        traces=[trace],
    )


def test_judge_writes_its_report_beside_the_traces(tmp_path, capsys):
    write_record(manifest("crash"), tmp_path / "manifest.json")
    assert run(["judge", str(tmp_path), "--check", "LOAD01"]) == 1
    out = capsys.readouterr().out
    assert "LOAD01 fail · hf-torch · c · float32 · cpu" in out
    assert "SIGABRT" in out
    assert (tmp_path / "report.json").is_file()
    assert "SIGABRT" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 999}', '{"schema_version": 1}'])
def test_judge_of_a_broken_run_is_one_line(tmp_path, capsys, content):
    (tmp_path / "manifest.json").write_text(content)
    assert run(["judge", str(tmp_path)]) == 2
    assert one_line(capsys).startswith(f"parity: {tmp_path}/manifest.json: ")


def test_a_run_that_is_not_whole_is_one_line(tmp_path, capsys):
    """A file in place of the directory, a manifest without traces, a run not judged yet, a page in place of JSON."""
    whole = manifest("captured", path="traces/x.safetensors")
    write_record(whole, tmp_path / "manifest.json")
    for command in (["judge", str(tmp_path)], ["compare", str(tmp_path), str(tmp_path)]):
        assert run(command) == 2
        assert one_line(capsys).startswith(f"parity: {tmp_path}: the traces of the manifest are missing: ")
    assert run(["judge", str(tmp_path / "manifest.json")]) == 2
    assert "a file: what is judged is a run's directory" in one_line(capsys)
    assert run(["show", str(tmp_path)]) == 2
    assert one_line(capsys).endswith(f"No such file or directory; parity judge {tmp_path} makes it")
    (tmp_path / "report.html").write_text("<!DOCTYPE html>")
    assert run(["show", str(tmp_path / "report.html")]) == 2
    assert one_line(capsys).endswith("report.html: a page for people, not the JSON beside it")


def test_a_side_that_is_nothing_is_one_line(tmp_path, capsys):
    assert run(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "neither a run, which has a manifest.json, nor a checkpoint" in one_line(capsys)


@pytest.mark.parametrize("name", ["report.json", "report.html"])
def test_a_report_that_cannot_be_written_is_one_line(tmp_path, capsys, name):
    write_record(manifest("crash"), tmp_path / "manifest.json")
    (tmp_path / f".part-{name}").mkdir()
    assert run(["judge", str(tmp_path), "--check", "LOAD01"]) == 2
    assert one_line(capsys) == f"parity: {tmp_path}/{name}: cannot be written: Is a directory"


def test_cache_is_listed_and_cleaned(tmp_path, capsys):
    import numpy as np

    from parity.core.trace import Trace

    trace = Trace(
        {"logits": np.zeros((2, 3), np.float32)}, provenance={"backend": "hf-torch", "checkpoint": "bart-odd"}
    )
    for key in ("aa11", "bb22"):
        trace.write(tmp_path / "traces" / key[:2] / f"{key}.safetensors")
    assert run(["cache", "list", "--cache", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"hf-torch +bart-odd +2 ", text)
    assert run(["cache", "clean", "--cache", str(tmp_path), "--older-than", "1"]) == 0
    assert "removed 0 traces" in capsys.readouterr().out
    assert run(["cache", "clean", "--cache", str(tmp_path)]) == 0
    assert "removed 2 traces" in capsys.readouterr().out
    assert run(["cache", "list", "--cache", str(tmp_path)]) == 0
    assert "0 traces, 0 B" in capsys.readouterr().out


def test_without_its_dependencies_the_command_says_what_to_install():
    """A bare interpreter: no site-packages at all."""
    root = Path(api.__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-S", "-m", "parity"], capture_output=True, text=True, cwd=root, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "parity: typer is not installed: python -m pip install -e . in the clone\n"


def test_output_into_a_pipe_that_closes_is_no_crash(tmp_path):
    root = Path(api.__file__).parents[1]
    ended = subprocess.run(
        f"{sys.executable} -m parity schema | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert ended.stderr == ""
