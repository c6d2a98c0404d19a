"""What other tools read: every cell once, nothing that breaks their syntax, and one line where it cannot be written."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.cli.main import run
from parity.core.records import Unreadable, write_record
from parity.report import export
from parity.tools.gate.gate import gate, update
from parity.tools.gate.github import gate_annotations, gate_summary
from tests.profiles import examples
from tests.sample_reports import failure, report, verdict

KNOWN = verdict("known", reason="an-entry: a cause [what]", evidence={"known_issue": "an-entry", "severity": "low"})
SKIP = verdict("skip", case="loss", reason="labels: Flax takes none", backend="hf-tf")
ERROR = verdict("error", case="load", reason="time-out in load")
MIXED = report(verdict(), failure(), KNOWN, SKIP, ERROR)


@pytest.fixture
def stored(tmp_path):
    write_record(MIXED, tmp_path / "report.json")
    return tmp_path / "report.json"


def test_junit_has_a_test_for_each_cell_and_counts_them():
    root = ET.fromstring(export.junit(MIXED))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    suites = root.findall("testsuite")
    assert sum(int(suite.get("tests")) for suite in suites) == len(root.findall(".//testcase")) == 5
    (told,) = root.findall(".//failure")
    assert "decoder.hidden.1" in told.text and "Reproduce " in told.text and told.get("message") == failure().reason
    assert {skip.get("type"): skip.get("message") for skip in root.findall(".//skipped")} == {
        "known": KNOWN.reason,
        "skip": SKIP.reason,
    }
    assert root.find(".//property[@name='transformers']").get("value") == "4.57.6"


ANY = st.text(st.characters(codec="utf-8") | st.sampled_from("\x00\x1b\x85\ufffe`|%:,\n<&]"), max_size=30)


@examples(60)
@given(reason=ANY, case=ANY)
def test_whatever_a_backend_says_the_forms_can_be_read(reason, case):
    one = report(verdict(), failure(case=case, reason=reason, first_divergence=None))
    root = ET.fromstring(export.junit(one))
    assert len(root.findall(".//testcase")) == 2
    assert [json.loads(line)["record"] for line in export.jsonl(one).splitlines()] == [
        "run",
        *["verdict"] * 2,
        "totals",
    ]
    (line,) = export.annotation_lines(one)
    assert re.fullmatch(r"::error title=[^:,\r\n]*::[^\r\n]*", line)
    assert len(export.summary(one).split("```text")) == 2 or "`" in reason + case


def test_json_lines_add_up():
    lines = [json.loads(line) for line in export.jsonl(MIXED).splitlines()]
    head, *verdicts, totals = lines
    assert head["checkpoints"] == {"bart-odd": "0" * 64} and head["schema_version"] == 2
    for status in ("pass", "fail", "known", "skip", "error"):
        assert totals[status] == sum(line["status"] == status for line in verdicts)


def test_the_summary_has_totals_subjects_failures_and_entries():
    text = export.summary(MIXED)
    assert text.startswith("### parity: 5 verdicts: 1 pass, 1 fail, 1 known, 1 skip, 1 error\n")
    assert "| hf-flax · cpu · float32 | fail | 0 | 1 | 0 | 0 | 0 |" in text
    assert "NUM01 · fail · hf-flax · bart-odd · float32 · cpu" in text and "| an-entry | low | 1 |" in text


def test_no_more_annotations_than_github_shows():
    many = report(*(failure(check=f"NUM{number:02}") for number in range(30)))
    found = export.annotation_lines(many)
    assert len(found) == 10 and found[-1] == "::error title=parity::21 more ways to fail: see the report"


def test_the_gate_s_changes_can_be_exported(tmp_path, capsys):
    good, bad, baseline = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "baseline.json"
    write_record(report(verdict(backend="hf-flax")), good)
    write_record(report(failure()), bad)
    update([good], baseline)
    gated = gate(bad, baseline)
    assert "| worse | NUM01 · hf-flax cpu" in gate_summary(gated, bad, baseline)
    (line,) = gate_annotations(gated)
    assert line.startswith("::error title=gate%3A worse::NUM01") and "first at decoder.hidden.1" in line
    summary = tmp_path / "summary.md"
    options = ["--baseline", str(baseline), "--summary", str(summary), "--annotate"]
    assert run(["gate", str(bad), *options]) == 1
    assert line in capsys.readouterr().out and "worse" in summary.read_text(encoding="utf-8")


def test_export_writes_what_was_asked_for(stored, tmp_path, capsys):
    files = {name: tmp_path / "new" / name for name in ("a.xml", "a.jsonl", "a.md")}
    options = [
        word
        for flag, file in zip(("--junit", "--jsonl", "--summary"), files.values(), strict=True)
        for word in (flag, str(file))
    ]
    assert run(["export", str(stored.parent), *options, "--annotate"]) == 0
    assert all(file.stat().st_size for file in files.values())
    assert capsys.readouterr().out.startswith("::error title=NUM01 · fail")
    assert run(["export", str(stored), "--summary", str(files["a.md"])]) == 0
    assert files["a.md"].read_text(encoding="utf-8").count("### parity") == 2, "GitHub's file is added to"


def test_nothing_to_write_or_nowhere_is_2(stored, tmp_path, capsys):
    assert run(["export", str(stored)]) == 2
    capsys.readouterr()
    (tmp_path / "file").write_text("")
    assert run(["export", str(stored), "--junit", str(tmp_path / "file" / "x.xml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"parity: {tmp_path}/file/x.xml: cannot be written: ")


@pytest.mark.parametrize("command", [["export", "--annotate"], ["show"], ["gate"]])
def test_a_truncated_report_is_one_line(stored, capsys, command):
    stored.write_text(stored.read_text()[:-100])
    assert run([*command, str(stored)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "report.json: not JSON" in line or "baseline.json: cannot be read" in line


def test_show_is_what_the_audit_showed(stored, capsys):
    assert run(["show", str(stored.parent)]) == 1
    out = capsys.readouterr().out
    assert "NUM01 fail · hf-flax · bart-odd" in out and "5 verdicts: 1 pass, 1 fail" in out


def test_a_check_is_explained(capsys):
    from parity.judge.checks import CHECKS

    assert run(["explain", *CHECKS]) == 0
    out = capsys.readouterr().out
    for check in CHECKS.values():
        assert check.claim in out and check.likely_cause in out and check.source in out
    assert run(["explain"]) == run(["explain", "cache"]) == 0
    assert run(["explain", "num01"]) == 0
    assert run(["explain", "NUM99"]) == 2
    assert "NUM99" in capsys.readouterr().err


def test_a_checkpoint_that_was_not_read_is_in_every_export():
    made = MIXED.model_copy(update={"unreadable": [Unreadable(name="broken", cause="broken: empty\n::error::x")]})
    root = ET.fromstring(export.junit(made))
    assert (root.get("tests"), root.get("errors")) == ("6", "2")
    assert len(root.findall(".//testcase")) == 6
    assert json.loads(export.jsonl(made).splitlines()[0])["unreadable"][0]["name"] == "broken"
    assert any("broken: empty" in line for line in export.annotation_lines(made))
    assert "broken: empty" in export.summary(made)
    assert not any(line.startswith("::error::x") for line in export.summary(made).splitlines())
