"""What people see of a report: nothing left out, nothing in two places, readable without colour."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from parity.capture.task import Event
from parity.core.records import STOPPED, Divergence, Notice, Unreadable
from parity.judge.checks import CHECKS
from parity.report.console import duration, print_wrapped, size
from parity.report.failures import INDENT, block, groups, lines, origins, usual_causes
from parity.report.html.page import render
from parity.report.matrix import worst
from parity.report.progress import Progress
from parity.report.terminal import cost_line, known_lines, last_lines, show_report, skip_lines, totals_line
from tests.sample_reports import failure, report, verdict


def shown(made, capsys) -> str:
    show_report(made, Path("runs/x/report.json"))
    return capsys.readouterr().out


def test_failure_block_tells_what_where_how_much_why_and_how_to_see_it_again():
    (group,) = groups([failure()])
    assert block(group, "the cache is written at the wrong position").plain.splitlines() == [
        "NUM01 fail · hf-flax · bart-odd · float32 · cpu",
        "  Claim              every hidden state is the oracle's",
        "  Cases              forward",
        "  First divergence   decoder.hidden.1 at [batch 0, tgt 1]; inputs agree (0.9 × tolerance)",
        "  Mismatched slices  3 / 24 (12.5 %) in logits",
        "  Greatest error     3.1e-02 in logits at [batch 1, tgt 4] = 8.4e+04 × tolerance (3.7e-07, measured)",
        "  Worst element      logits at [batch 1, tgt 4, vocab 17]: actual -0.304518, expected +0.41616",
        "  Likely cause       the cache is written at the wrong position",
        "  Reproduce          parity audit fixtures/checkpoints/bart-odd --backend hf-flax --check NUM01",
    ]


def test_one_cause_over_cases_and_backends_is_one_block_that_names_them():
    cells = [failure(case=case, backend=backend) for case in ("forward", "loss") for backend in ("hf-tf", "hf-flax")]
    (group,) = groups(cells)
    text = block(group).plain
    assert "hf-tf, hf-flax" in text
    assert "Cases              forward, loss" in text


@pytest.mark.parametrize(
    "change",
    [
        {"check": "NUM02"},
        {"checkpoint": "bart-untied"},
        {"dtype": "bfloat16"},
        {"first_divergence": failure().first_divergence.model_copy(update={"tensor": "logits"})},
        {"evidence": {"exception": "TypeError", "frame": "x.py:1 in f"}},
    ],
)
def test_different_causes_are_different_blocks(change):
    assert len(groups([failure(), failure(**change)])) == 2


def test_what_a_backend_raises_is_one_block_for_all_the_claims_it_fails():
    evidence = {"exception": "OSError", "frame": "x.py:1 in f", "phase": "load"}
    fields = {"reason": "loading raised OSError: no\n\tfile", "evidence": evidence, "first_divergence": None}
    cells = [failure(check=check, error=None, tolerance=None, **fields) for check in ("NUM01", "NUM02")]
    (group,) = groups(cells)
    assert block(group, "a wrong scale").plain.splitlines() == [
        "NUM01, NUM02 fail · hf-flax · bart-odd · float32 · cpu",
        "  Cases              forward",
        "  Found              loading raised OSError: no file",
    ]


def test_the_example_of_a_group_is_the_one_farthest_past_its_tolerance():
    (group,) = groups([failure(error=1e-3, case="mild"), failure(case="severe"), failure(error=None, case="none")])
    assert group.example.case == "severe"


def test_a_value_that_is_not_finite_is_said_to_be_so():
    worst_element = {"tensor": "logits", "index": {"batch": 0}, "actual": None, "expected": 1.0}
    (group,) = groups([failure(evidence={"worst": worst_element})])
    assert "actual not finite" in block(group).plain


def test_the_matrix_shows_the_worst_of_a_cell_and_every_subject(capsys):
    text = shown(report(verdict(), failure(), failure(case="loss"), verdict("skip", backend="hf-tf")), capsys)
    (row,) = [line for line in text.splitlines() if line.startswith("NUM01") and "·" not in line]
    assert row.split()[:4] == ["NUM01", "pass", "FAIL", "skip"]


def test_a_cell_with_one_bad_case_is_not_shown_as_good():
    assert worst(["pass", "skip", "fail", "known"]) == "fail"
    assert worst(["pass", "error", "fail"]) == "error"
    assert worst(["pass", "known"]) == "known"
    assert worst(["pass", "skip"]) == "pass"
    assert worst(["skip"]) == "skip"


def test_few_checkpoints_have_a_matrix_each_and_many_share_one(capsys):
    two = shown(report(verdict(), verdict(checkpoint="bart-untied")), capsys)
    assert "bart-odd · float32 · cpu" in two
    assert "bart-untied · float32 · cpu" in two
    many = shown(report(*(verdict(checkpoint=f"c{number}") for number in range(5))), capsys)
    assert "5 checkpoints, the worst of each cell" in many


@pytest.mark.parametrize("width", [80, 200])
def test_no_verdict_is_cut_off_however_narrow_the_terminal(width, capsys, monkeypatch):
    """Subjects that do not fit stand in a table of their own, with the checks that one of them is asked."""
    monkeypatch.setenv("COLUMNS", str(width))
    stacks = ("docs-4.37", "current", "nightly")
    cells = [
        verdict(backend="hf-torch", stack=stack, variant=variant) for stack in stacks for variant in ("eager", "sdpa")
    ]
    cells += [verdict(check="CONF01", backend="hf-config", stack=stack) for stack in stacks] + [
        failure(backend="hf-tf")
    ]
    lines = shown(report(*cells), capsys).splitlines()
    tables = [line for line in lines if line.startswith(("check ", "NUM01 ", "CONF01 ", "bart-odd"))]
    assert max(map(len, tables)) <= width
    words = " ".join(lines).partition("verdicts:")[0].split()
    assert (words.count("pass"), words.count("FAIL")) == (9, 1)
    assert sum(line.startswith("check ") for line in lines) == (2 if width == 80 else 1)
    assert sum(line.startswith("CONF01 ") for line in lines) == 1


def test_what_a_terminal_carries_over_is_indented(monkeypatch):
    """In a file a line stays whole; a command is the terminal's to carry over, so that it can be copied."""
    text = Text.assemble((f"  {'Claim':<{INDENT - 2}}", "bright_black"), "every word of it " * 9)
    for soft_wrap, height in ((False, 3), (True, 1)):
        out = Console(file=io.StringIO(), width=80, soft_wrap=soft_wrap)
        print_wrapped(out, text, INDENT)
        first, *others = out.file.getvalue().splitlines()
        assert first.startswith(f"  {'Claim':<{INDENT - 2}}every word") and len(others) == height - 1
        assert all(line.startswith(" " * INDENT + "every") or line[INDENT] != " " for line in others)
        assert " ".join(" ".join([first, *others]).split()) == "Claim " + ("every word of it " * 9).strip()


@pytest.mark.parametrize(("columns", "width"), [(None, 140), ("100", 100), ("20", 80)])
def test_the_text_of_a_failure_is_wrapped_with_an_indent_in_a_file_too(columns, width, capsys, monkeypatch):
    """No word is broken, and the command to copy is on one line."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    path = "x/" * 120
    claim, reason = "every word of the claim " * 12, f"no file {path} there " * 2
    command = "parity audit " + "fixtures/checkpoints/bart-odd " * 6
    evidence = {**failure().evidence, "reproduce": command.strip()}
    made = report(failure(claim=claim), verdict("fail", check="NUM02", reason=reason, evidence=evidence))
    lines = shown(made, capsys).partition("NUM01 fail")[2].partition("First divergences")[0].splitlines()
    assert max(len(line) for line in lines if path not in line and "Reproduce" not in line) <= width
    assert " ".join(" ".join(lines).split()).count(claim.strip()) == 1
    assert sum(line.strip().startswith(path) for line in lines) == 2 - sum(f"no file {path}" in line for line in lines)
    assert f"  Reproduce          {command.strip()}" in lines
    (first,) = (n for n, line in enumerate(lines) if line.startswith("  Claim ") and "of the claim" in line)
    assert lines[first + 1].startswith(" " * INDENT) and lines[first + 1][INDENT] != " "


def test_the_inputs_of_a_first_divergence_are_those_of_the_cell_that_is_shown():
    """Another cell of the failure may have other inputs; of several failures the largest is named as such."""
    cells = [_numeric("NUM01", "encoder.hidden.1", within, case=f"{within}") for within in (0.24, 0.4)]
    cells[0] = cells[0].model_copy(update={"error": 1.0})
    made = groups(cells)
    (origin,) = origins(made)
    told = dict(lines(made[0]))["First divergence"]
    assert (told, origin.location + origin.inputs) == ("encoder.hidden.1; inputs agree (0.24 × tolerance)",) * 2
    (both,) = origins([*made, *groups([_numeric("NUM04", "encoder.hidden.1", 0.3)])])
    assert both.inputs == "; inputs agree (at most 0.3 × tolerance)"


def test_the_end_says_where_failures_begin(capsys):
    cells = [failure(check=f"NUM0{number}", checkpoint=name) for number in range(1, 6) for name in ("a", "b")]
    text = shown(report(*cells), capsys)
    _, _, end = text.partition("First divergences\n")
    where = "hf-flax · a, b · float32 · cpu · NUM01, NUM02, NUM03 and 2 more"
    assert end.splitlines()[0] == f"  decoder.hidden.1; inputs agree (0.9 × tolerance) · {where}"
    assert "First divergences" not in shown(report(verdict()), capsys)


def test_devices_and_dtypes_are_never_mixed_in_one_matrix(capsys):
    text = shown(report(verdict(), failure(dtype="bfloat16", backend="hf-torch")), capsys)
    rows = [line.split()[:2] for line in text.splitlines() if line.startswith("NUM01") and "·" not in line]
    assert rows == [["NUM01", "pass"], ["NUM01", "FAIL"]]


def test_totals_name_every_status_that_occurs():
    made = report(verdict(), failure(), verdict("known"), verdict("skip"), verdict("error"))
    assert totals_line(made).plain == "5 verdicts: 1 pass, 1 fail, 1 known, 1 skip, 1 error"


def test_known_divergences_have_one_line_for_each_entry():
    evidence = {"known_issue": "FLAX-7", "severity": "high"}
    cells = [verdict("known", case=case, reason="FLAX-7: it is so [x]", evidence=evidence) for case in ("a", "b")]
    assert known_lines(report(*cells)) == ["FLAX-7 (high) · hf-torch · NUM01 · 2 cells: it is so"]


def test_skips_are_counted_by_reason():
    cells = [verdict("skip", reason="labels: none", case=case) for case in ("a", "b")]
    other = verdict("skip", reason="attentions: none", backend="hf-tf")
    lines = skip_lines(report(other, *cells))
    assert lines == ["2 cells · hf-torch · labels: none", "1 cell · hf-tf · attentions: none"]


def test_the_end_says_what_it_cost_and_where_the_report_is(capsys):
    made = report(verdict())
    assert cost_line(made) == (
        "took 2 min 05 s, 4% of it overhead; peak memory 1.5 GB over all processes; 40 of 100 traces from the cache"
    )
    started = made.model_copy(update={"cost": made.cost.model_copy(update={"start_seconds": 2.5})})
    assert cost_line(started).startswith("took 2 min 05 s from the start of the command, 4% of it")
    assert '<th scope="row">of it the start of the command</th><td>2.5 s</td>' in render(started)
    text = shown(made, capsys)
    assert cost_line(made) in text
    assert text.endswith("report runs/x/report.json\npage   runs/x/report.html\nPASSED 1 passed in 2 min 05 s\n")
    assert "transformers 4.57.6" in text


@pytest.mark.parametrize(
    ("cells", "not_run", "word"),
    [
        ([verdict(), verdict("known", evidence={"known_issue": "A", "severity": "low"})], [], "PASSED"),
        ([verdict(), failure(case="other")], [], "FAILED"),
        ([verdict()], ["hf-tf cannot run in main: it is not installed"], "INCOMPLETE"),
        ([verdict("skip", reason="labels: none")], [], "INCOMPLETE"),
    ],
)
def test_the_last_line_is_the_verdict(capsys, cells, not_run, word):
    assert shown(report(*cells, not_run=not_run), capsys).splitlines()[-1].startswith(f"{word} ")


def test_square_brackets_of_a_library_are_printed_and_not_read_as_markup(capsys):
    text = shown(report(failure(reason="index [red] of list[int] [/red]", first_divergence=None)), capsys)
    assert "index [red] of list[int] [/red]" in text


def test_output_to_a_file_has_no_colour_and_no_broken_lines(capsys):
    reason = "word " * 100
    text = shown(report(verdict("error", reason=reason.strip())), capsys)
    assert "\x1b" not in text
    assert reason.strip() in text


def test_progress_without_a_terminal_is_a_few_lines_on_standard_error(capsys):
    with Progress() as progress:
        for _ in range(3):
            progress(Event("planned", total=100, cached=40, done=40))
        for done in range(41, 101):
            progress(Event("finished", "hf-tf", "bart-odd", "forward", "captured", done=done, total=100))
        progress(Event("finished", "hf-tf", "bart-odd", "loss", "crash", "SIGABRT", 100, 100))
        for _ in range(2):
            progress(Event("planned", total=112, cached=45, done=100))
        progress(Event("judged", checkpoint="bart-odd", reason="3 pass, 1 error"))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line.partition("] ")[2] for line in captured.err.splitlines()]
    assert lines == [
        "100 traces planned, 40 of them in the cache; cases that are made from results are added later",
        "hf-tf · bart-odd · loss: crash: SIGABRT",
        "12 traces added from results: 112 planned, 45 in the cache",
        "bart-odd: 3 pass, 1 error",
    ]


def test_quiet_progress_prints_nothing(capsys):
    with Progress(quiet=True) as progress:
        progress(Event("planned", total=100, cached=40, done=40))
        progress(Event("finished", "hf-tf", "bart-odd", "loss", "crash", "SIGABRT", 100, 100))
    assert capsys.readouterr() == ("", "")


def test_sizes_and_durations_for_people():
    assert [size(count) for count in (0, 999, 1_500, 2_340_000, 8e9)] == ["0 B", "999 B", "2 kB", "2 MB", "8.0 GB"]
    assert [duration(seconds) for seconds in (0.04, 59.94, 125)] == ["0.0 s", "59.9 s", "2 min 05 s"]


def test_notices_and_what_was_not_read_stand_first_and_once(capsys):
    """A cause in its owner's words comes before any tensor; control characters in it do nothing."""
    notice = Notice(id="common-prefix", cause="every name begins with 'x\x1b[31m.'", advice="strip it")
    one = report(verdict(), failure())
    one = one.model_copy(
        update={
            "checkpoints": [each.model_copy(update={"notices": [notice]}) for each in one.checkpoints],
            "unreadable": [Unreadable(name="broken", cause="broken: an empty directory\n::error::")],
        }
    )
    text = shown(one, capsys)
    first = [line.rstrip() for line in text.splitlines()[:3]]
    assert first == [
        "unread    broken: an empty directory\\n::error::",
        "notice    every name begins with 'x\\x1b[31m.'",
        "          do: strip it",
    ]
    assert text.count("strip it") == 1 and "\x1b" not in text
    page = render(one)
    assert page.index("an empty directory") < page.index("strip it") < page.index('id="matrix"')
    assert "\x1b" not in page


@pytest.mark.parametrize(("cells", "code"), [([verdict()], 2), ([verdict(), failure()], 1), ([], 2)])
def test_an_unreadable_checkpoint_beside_others_is_never_success(cells, code):
    made = report(*cells, unreadable=[Unreadable(name="broken", cause="broken: an empty directory")])
    assert made.exit_code == code
    assert report(verdict()).exit_code == 0


def _numeric(check: str, tensor: str, within: float | None, **fields):
    first = Divergence(tensor=tensor, error=1e-2, tolerance=1e-6, inputs_within=within)
    return failure(check=check, first_divergence=first, evidence={}, **fields)


def test_one_likely_cause_for_what_diverges_first_and_none_for_what_follows():
    """Of each checkpoint and backend by itself; what raises, or is of a file, has a cause of its own."""
    found = [
        _numeric("NUM02", "decoder.hidden.1", 900.0),
        _numeric("NUM01", "encoder.hidden.1", 0.3),
        verdict("fail", check="GEN01", backend="hf-flax", reason="row 0 is wrong"),
        verdict("fail", check="TOK01", backend="hf-flax", reason="token 3"),
        verdict("fail", check="CACHE01", backend="hf-flax", reason="r", evidence={"exception": "E", "frame": "f"}),
        _numeric("NUM04", "logits", 0.2, backend="hf-tf"),
        _numeric("NUM01", "encoder.hidden.0", 0.2, checkpoint="another"),
    ]
    made = list(groups(found))
    causes = dict(
        zip(
            (group.example.check + group.example.checkpoint for group in made),
            usual_causes(made, lambda check: f"because {check}"),
            strict=True,
        )
    )
    follows = ("", "NUM01 at encoder.hidden.1")
    assert causes == {
        "NUM02bart-odd": follows,
        "NUM01bart-odd": ("because NUM01", ""),
        "GEN01bart-odd": follows,
        "TOK01bart-odd": ("because TOK01", ""),
        "CACHE01bart-odd": ("because CACHE01", ""),
        "NUM04bart-odd": ("because NUM04", ""),
        "NUM01another": ("because NUM01", ""),
    }
    text = block(made[0], *follows).plain
    assert "  Follows from       NUM01 at encoder.hidden.1" in text and "Likely cause" not in text


@pytest.mark.parametrize("check", ["FILE01", "LOAD01", "LOAD02"])
def test_where_the_weights_are_others_all_that_is_computed_follows(check):
    backend = "file" if check == "FILE01" else "hf-flax"
    made = list(
        groups(
            [
                _numeric("NUM01", "encoder.hidden.0", None),
                verdict("fail", check=check, backend=backend, reason="x is missing"),
            ]
        )
    )
    assert usual_causes(made, str) == [("", check), (check, "")]


def test_what_only_follows_begins_nowhere():
    of_the_file = verdict("fail", check="FILE01", backend="file", reason="x is missing")
    made = groups([of_the_file, verdict("fail", check="NUM04", reason="the oracle raised")])
    assert [origin.location for origin in origins(made)] == ["x is missing"]


@pytest.mark.parametrize(("cells", "code"), [([verdict()], 2), ([verdict(), failure()], 1), ([verdict("skip")], 2)])
def test_what_was_requested_and_cannot_run_is_never_success(cells, code, capsys):
    line = "hf-tf cannot run in main: tensorflow is not installed (pip install tensorflow)"
    made = report(*cells, not_run=[line])
    assert made.exit_code == code
    assert " ".join(shown(made, capsys).split()).count(line) == 1 and line in render(made)


def test_what_the_tolerances_rest_on_is_shown(capsys):
    made = report(verdict(), tolerances="the errors of reference-torch alone")
    assert "tolerances rest on the errors of reference-torch alone" in shown(made, capsys)
    assert "Tolerances are derived from the errors of reference-torch alone." in render(made)


def _last(*cells, **fields) -> list[str]:
    return [line.plain for line in last_lines(report(*cells, **fields))]


def test_the_last_line_names_failing_backends_their_first_divergence_and_the_counts():
    cells = [failure(check=check, case=case, backend="hf-torch") for check in ("NUM01", "NUM02") for case in "ab"]
    cells += [failure(backend="hf-torch", variant="sdpa")]
    cells += [verdict("error", backend="hf-tf", reason="no answer"), verdict("known"), verdict("skip"), verdict()]
    assert _last(*cells) == [
        "FAILED hf-torch: 2 checks (5 cells), first at decoder.hidden.1; hf-tf: 1 check (1 cell, all errors) · "
        "1 known · 1 skipped · 1 passed in 2 min 05 s"
    ]


def test_of_many_failing_backends_some_are_named_in_the_last_line():
    (line,) = _last(*(failure(backend=name) for name in ("a", "b", "c", "d", "e")))
    assert line.count("1 check (1 cell)") == 3 and "; 2 more · 0 passed in " in line


def test_several_checkpoints_have_a_line_each_and_a_total():
    cells = [failure(checkpoint="a"), verdict(checkpoint="a"), verdict(checkpoint="b"), verdict("skip", checkpoint="c")]
    assert _last(*cells, not_run=["hf-tf cannot run"]) == [
        "FAILED a · hf-flax: 1 check (1 cell), first at decoder.hidden.1 · 1 passed",
        "PASSED b · 1 passed",
        "INCOMPLETE c · 1 skipped · 0 passed",
        "FAILED 1 of 3 checkpoints: 1 check (1 cell) · 1 not run · 1 skipped · 2 passed in 2 min 05 s",
    ]
    assert (
        _last(verdict(checkpoint="a"), verdict(checkpoint="b"))[-1] == "PASSED 2 checkpoints · 2 passed in 2 min 05 s"
    )


def test_what_was_left_out_after_the_first_failing_check_is_not_counted_as_not_run():
    left = f"bart-odd: 3 checks (9 cells) after NUM01 not judged: {STOPPED}"
    (line,) = _last(failure(), not_run=[left])
    assert (
        line.endswith(" · stopped at the first failing check (-x) · 0 passed in 2 min 05 s") and "not run" not in line
    )
    (line,) = _last(failure(), not_run=[left, "hf-tf cannot run"])
    assert " · 1 not run · stopped at the first failing check (-x) · " in line


def test_of_many_checkpoints_only_those_that_did_not_pass_have_a_line():
    cells = [verdict(checkpoint=f"c{number}") for number in range(20)]
    assert len(_last(*cells)) == 1
    assert _last(*cells, failure(checkpoint="bad"))[0].startswith("FAILED bad · ")


def test_failures_come_before_known_divergences_and_those_before_skips(capsys):
    known = verdict("known", evidence={"known_issue": "A", "severity": "low"})
    text = shown(report(known, verdict("skip", reason="labels: none"), failure()), capsys)
    titles = [
        "NUM01 fail · ",
        "First divergences\n",
        "Known divergences\n",
        "Skipped\n",
        "report runs/x",
        "FAILED hf-flax: ",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert text.splitlines()[-2] == "page   runs/x/report.html"


def test_verbose_output_has_a_line_for_each_cell(capsys):
    made = report(verdict(error=2.8e-7, tolerance=1e-6), failure(), verdict("skip", reason="labels: none"))
    assert "Cells" not in shown(made, capsys)
    show_report(made, Path("runs/x/report.json"), 1)
    _, _, rest = capsys.readouterr().out.partition("\nCells\n")
    assert rest.splitlines()[:3] == [
        "  NUM01    pass · hf-torch · bart-odd · forward · float32 · cpu · 0.28 × tolerance",
        "  NUM01    FAIL · hf-flax · bart-odd · forward · float32 · cpu · 8.4e+04 × tolerance",
        "  NUM01    skip · hf-torch · bart-odd · forward · float32 · cpu · labels: none",
    ]


def test_quiet_output_is_a_line_for_each_failure_and_the_verdict(capsys):
    made = report(
        verdict(), failure(), verdict("error", reason="no\nanswer"), verdict("known"), not_run=["hf-tf cannot run"]
    )
    show_report(made, Path("runs/x/report.json"), -1)
    assert capsys.readouterr().out.splitlines() == [
        "not run   hf-tf cannot run",
        "FAILED NUM01 · hf-flax · bart-odd · float32 · cpu · decoder.hidden.1: 8.38e+04 × tolerance",
        "ERROR NUM01 · hf-torch · bart-odd · float32 · cpu · no answer",
        "FAILED hf-flax: 1 check (1 cell), first at decoder.hidden.1; hf-torch: 1 check (1 cell, all errors) · "
        "1 not run · 1 known · 1 passed in 2 min 05 s",
    ]


def test_the_time_left_is_estimated_from_the_traces_that_were_computed(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("parity.report.progress.time.monotonic", lambda: clock[0])
    progress = Progress()
    assert progress._left(Event("planned", total=100, cached=40, done=40)) == ""
    clock[0] += 4
    assert progress._left(Event("finished", total=100, cached=40, done=42)) == "", "too few to tell"
    clock[0] += 6
    assert progress._left(Event("finished", total=100, cached=40, done=60)) == "about 20 s left"
    clock[0] += 590
    assert progress._left(Event("finished", total=100, cached=40, done=70)) == "about 10 min 00 s left"
    assert progress._left(Event("finished", total=100, cached=40, done=100)) == ""


def test_the_sample_in_the_readme_is_what_a_failure_looks_like():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    sample = readme[readme.index("NUM01 fail · ") :].partition("\n```")[0]
    at, index = {"batch": 0, "tgt": 5}, {"batch": 1, "tgt": 5, "d_model": 3}
    cells = [
        failure(
            backend="hf-torch",
            claim=CHECKS["NUM01"].claim,
            case=case,
            error=2.4e-4,
            tolerance=2.4e-4 / 199,
            first_divergence=Divergence(
                tensor="encoder.hidden.1", at={"batch": 1, "src": 7}, error=1e-4, tolerance=1e-6, inputs_within=0.32
            ),
            evidence={
                "worst": {
                    "tensor": "decoder.hidden.3",
                    "measure": "slice",
                    "at": at,
                    "index": index,
                    "actual": 0.358117,
                    "expected": 0.357584,
                },
                "slices_over": 21,
                "slices": 21,
                "reproduce": "parity audit fixtures/checkpoints/bart-odd --backend hf-torch/eager --check NUM01",
            },
        )
        for case in ("forward", "forward.single-row", "forward.defaults", "loss")
    ]
    (group,) = groups(cells)
    assert block(group, CHECKS["NUM01"].likely_cause).plain == sample


def test_a_known_issue_that_fails_under_strict_is_named_instead_of_a_likely_cause():
    found = failure(evidence={"known_issue": "hf-torch-untied-tables-random", "severity": "critical"})
    (group,) = groups([found])
    told = dict(lines(group, likely_cause="an activation"))
    command = "parity known-issues hf-torch-untied-tables-random"
    assert told["Known issue"] == f"hf-torch-untied-tables-random ({command})"
    assert "Likely cause" not in told
    own = failure(evidence={"known_issue": "mine", "severity": "critical", "source": "parity-known-issues.toml"})
    assert dict(lines(groups([own])[0]))["Known issue"] == "mine (parity-known-issues.toml)"
