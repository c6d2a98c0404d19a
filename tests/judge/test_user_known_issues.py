"""A user's expected failures: what a file excuses, until when, and what it never does."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from parity.api import audit
from parity.cli.main import run
from parity.core.errors import InputError
from parity.core.trace import Raised, Trace
from parity.judge import known_issues
from parity.judge.judge import judge
from parity.judge.user_known_issues import KnownIssuesError, read_known_issues
from tests.judge.checks.test_checks import off
from tests.judge.sample_runs import CANDIDATE, cells

ENTRY = {
    "id": "ours",
    "reason": "the fork is old",
    "expires": date(2999, 1, 31),
    "backends": ["hf-torch"],
    "checks": ["NUM04"],
    "tensors": ["logits"],
}


def toml(**fields) -> str:
    def spelled(value) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{name} = {spelled(each)}" for name, each in value.items()) + " }"
        if isinstance(value, list):
            return f"[{', '.join(map(spelled, value))}]"
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, date | int | float) else f'"{value}"'

    lines = (f"{name} = {spelled(value)}" for name, value in fields.items() if value is not None)
    return "\n".join(["[[divergence]]", *lines, ""])


@pytest.fixture
def file(tmp_path_factory):
    def write(*entries: dict, text: str | None = None) -> Path:
        path = tmp_path_factory.mktemp("issues") / "known.toml"
        path.write_text("\n".join(toml(**{**ENTRY, **each}) for each in entries) if text is None else text)
        return path

    return write


@pytest.fixture
def wrong(run_directory):
    """A run whose logits are wrong."""
    return run_directory({"forward": off("logits", 1e-3)})


def verdict(directory: Path, path: Path | None, **options):
    report = judge(directory, checks=["NUM04"], known_issues=path, **options)
    return next(each for each in cells(report, "NUM04") if each.case == "forward")


def test_what_an_entry_says_is_known_with_its_file_as_source(wrong, file):
    found = verdict(wrong, path := file({}))
    assert found.status == "known" and found.reason.startswith(f"ours ({path}): the fork is old [")
    assert (found.evidence["known_issue"], found.evidence["source"]) == ("ours", str(path))
    assert verdict(wrong, None).status == "fail"


@pytest.mark.parametrize(
    "narrower",
    [
        {"tensors": ["decoder.hidden.*"]},
        {"tensors": None, "first": ["encoder.*"]},
        {"found": "something else"},
        {"checkpoints": ["bert*"]},
        {"checks": ["NUM01"]},
        {"cases": ["loss"]},
        {"versions": {"transformers": [">=1"]}},
        {"raises": "ValueError", "found": "logits"},
        {"config": {"scale_embedding": False}},
    ],
)
def test_it_excuses_nothing_beyond_its_conditions_and_evidence(wrong, file, narrower):
    assert verdict(wrong, file(narrower)).status == "fail"


@pytest.mark.parametrize(
    "given", [{"checkpoints": ["bart-*"]}, {"versions": {"transformers": ["<1"]}}, {"found": "tolerance"}]
)
def test_conditions_that_hold_excuse(wrong, file, given):
    assert verdict(wrong, file(given)).status == "known"


def test_after_its_last_day_the_cell_fails_and_says_so(wrong, file):
    found = verdict(wrong, file({"expires": date(2020, 1, 31)}))
    assert found.status == "fail" and found.reason.startswith("known issue ours expired on 2020-01-31 (")
    (issue,) = read_known_issues(file({"expires": date(2027, 1, 31)}))
    assert not issue.expired(date(2027, 1, 31)) and issue.expired(date(2027, 2, 1))


def test_a_cell_that_passes_is_left_alone(run_directory, file):
    assert verdict(run_directory(), file({})).status == "pass"


def test_strict_counts_a_critical_one_as_a_failure(wrong, file):
    for severity, status in (("critical", "fail"), ("high", "known")):
        assert verdict(wrong, file({"severity": severity}), strict=True).status == status


def test_an_exception_is_excused_by_its_type_and_words_together(run_directory, file):
    raised = Trace(raised=Raised("ValueError", "no beam 3 here", "library.py:7 f", "call"))
    directory = run_directory({"forward": lambda trace: raised})
    for words, status in (("no beam", "known"), ("no hope", "fail")):
        assert verdict(directory, file({"tensors": None, "raises": "ValueError", "found": words})).status == status


def test_an_error_and_a_crash_are_never_excused(run_directory, file):
    for outcome, status in (("harness-error", "error"), ("time-out", "error"), ("crash", "fail")):
        directory = run_directory(outcomes={(CANDIDATE, "forward"): (outcome, "logits ValueError")})
        for evidence in ({}, {"raises": "ValueError", "found": "logits"}):
            assert verdict(directory, file(evidence)).status == status


def test_an_id_of_the_known_issues_is_taken(file):
    path = file({"id": known_issues.entries()[0].id})
    with pytest.raises(KnownIssuesError, match="a known issue of parity itself has this id"):
        read_known_issues(path)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"reason": None}], "known.toml: ours: reason: Field required"),
        ([{"reason": " "}], "known.toml: ours: id and reason must not be empty"),
        ([{"expires": None}], "known.toml: ours: expires: Field required"),
        ([{"expires": "some day"}], "known.toml: ours: expires: Input should be a valid date"),
        ([{"id": None}], "known.toml: entry 1: id: Field required"),
        ([{}, {}], "known.toml: ours: another entry has this id"),
        ([{}, {"id": "second", "tensors": None}], "known.toml: second: no evidence"),
        ([{"tensors": ["*"]}], "known.toml: ours: '*' is no evidence"),
        ([{"first": ["logits"], "tensors": ["*.*"]}], "known.toml: ours: '*.*' is no evidence"),
        ([{"raises": "ValueError"}], "known.toml: ours: raises also needs found or message"),
        ([{"raises": "ValueError", "message": ".*"}], "known.toml: ours: '.*' is no evidence"),
        ([{"raises": "ValueError", "message": "("}], "known.toml: ours: '(' is not a regular expression"),
        ([{"findings": [".+"]}], "known.toml: ours: '.+' is no evidence"),
        ([{"checks": []}], "known.toml: ours: checks and backends must not be empty"),
        ([{"checks": ["NUM99"]}], "known.toml: ours: unknown check NUM99"),
        ([{"tensor": ["logits"]}], "known.toml: ours: tensor: Extra inputs are not permitted"),
        ([{"versions": {"transformers": ["latest"]}}], "known.toml: ours: versions: Invalid specifier"),
    ],
)
def test_a_bad_entry_is_one_line_with_file_entry_and_cause(file, entries, said):
    with pytest.raises(KnownIssuesError) as caught:
        read_known_issues(file(*entries))
    told = str(caught.value)
    assert said in told and "\n" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [[divergence]]"),
        ("divergence = 3\n", "has no [[divergence]]"),
        ("divergence = [3]\n", "entry 1"),
        ("[[issue]]\n", "'issue' is not [[divergence]]"),
        ("[[divergence]\n", "not TOML: "),
        ("a = " + "[" * 5000, "not TOML: "),
        ("a = " + "9" * 5000, "not TOML: "),
        ("#" * (1 << 20) + "#", "larger than 1 MB"),
    ],
)
def test_what_is_no_such_file_is_one_line(file, text, said):
    with pytest.raises(KnownIssuesError) as caught:
        read_known_issues(path := file(text=text))
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value) and len(str(caught.value)) < 600


def test_what_is_no_regular_file_is_not_opened(tmp_path, file):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "not a regular file"),
    ):
        with pytest.raises(KnownIssuesError, match=said):
            read_known_issues(path)
    (path := file()).write_bytes(b"\xff")
    with pytest.raises(KnownIssuesError, match="not UTF-8 text"):
        read_known_issues(path)


def test_a_checkpoint_never_excuses_itself(tmp_path, file):
    outside, checkpoint = file({}), tmp_path / "checkpoint"
    (checkpoint / "deep").mkdir(parents=True)
    (inside := checkpoint / "deep" / "known.toml").write_text(outside.read_text())
    (into := tmp_path / "link.toml").symlink_to(inside)
    (out_of := checkpoint / "link.toml").symlink_to(outside)
    (same := tmp_path / "same").symlink_to(checkpoint)
    for path in (inside, into, out_of, same / "deep" / "known.toml"):
        for named in (checkpoint, same):
            with pytest.raises(KnownIssuesError, match="which must not excuse its own failures"):
                read_known_issues(path, [named])
    assert read_known_issues(outside, [checkpoint])
    with pytest.raises(InputError, match="must not excuse its own"):
        audit([checkpoint], known_issues=inside)


def test_a_run_is_not_excused_from_its_checkpoint_s_directory_either(wrong, tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)  # the run's manifest says bart-odd
    (tmp_path / "bart-odd").mkdir()
    (tmp_path / "bart-odd" / "known.toml").write_text(file({}).read_text())
    with pytest.raises(KnownIssuesError, match="directory of the checkpoint bart-odd"):
        judge(wrong, known_issues=Path("bart-odd/known.toml"))


def test_the_command_takes_the_file_and_ends_with_2_where_it_is_bad(wrong, file, capsys):
    assert run(["judge", str(wrong), "--check", "NUM04", "--known-issues", str(file({}))]) == 0
    assert "ours (high)" in capsys.readouterr().out
    for command in (["judge", str(wrong)], ["audit", str(wrong)]):
        assert run([*command, "--known-issues", str(file({"reason": None}))]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "known.toml: ours: reason: Field required" in line
