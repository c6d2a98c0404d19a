"""The gate: whatever is not as the baseline says fails, and what cannot be compared is one line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.cli.main import run
from parity.core.records import Divergence, RecordError, write_record
from parity.tools.gate.baseline import baseline_of, read_baseline
from parity.tools.gate.gate import FACTOR, SPREAD, changes, gate, update
from parity.tools.gate.report_digest import ReportDigest
from tests.profiles import examples
from tests.sample_reports import failure, report, verdict

ROOT = Path(__file__).parents[3]


def passed(ratio: float = 0.1, **fields):
    return verdict(error=ratio * 1e-6, tolerance=1e-6, **fields)


def known(entry: str = "an-entry", ratio: float | None = None, **fields):
    numbers = {} if ratio is None else {"error": ratio * 1e-6, "tolerance": 1e-6}
    return verdict("known", evidence={"known_issue": entry, "severity": "low"}, **numbers, **fields)


@pytest.fixture
def written(tmp_path):
    """Writes a report of these verdicts and gives its path."""

    def write(*verdicts, name="report.json", **fields) -> Path:
        write_record(report(*verdicts, **fields), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def held(tmp_path, written):
    """The kinds of change that the gate finds in one report against another's baseline."""

    def hold(before: list, after: list) -> list[str]:
        baseline = tmp_path / "baseline.json"
        baseline.unlink(missing_ok=True)
        update([written(*before)], baseline)
        return [change.kind for change in gate(written(*after, name="after.json"), baseline).changes]

    return hold


def one_line(capsys: pytest.CaptureFixture) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def at(tensor: str):
    """A known divergence that begins at a tensor."""
    return known().model_copy(update={"first_divergence": Divergence(tensor=tensor, at={}, error=2.0, tolerance=1.0)})


ASKED = verdict(case="loss")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (passed(), failure(backend="hf-torch"), "worse"),
        (passed(), verdict("error"), "worse"),
        (known(), failure(backend="hf-torch"), "worse"),
        (passed(), verdict("skip"), "worse"),
        (known(), verdict("skip"), "worse"),
        (passed(), known(), "diverges"),
        (verdict("skip"), known(), "diverges"),
        (known("one"), known("other"), "diverges"),
        (known(), passed(), "better"),
        (verdict("skip"), passed(), "better"),
        (passed(0.2), passed(0.21 + SPREAD), "grew"),
        (passed(0.21 + SPREAD), passed(0.2), "shrank"),
        (verdict(), passed(0.01 + SPREAD), "grew"),
        (known(ratio=50.0), known(ratio=51 * FACTOR), "grew"),
        (known(ratio=51 * FACTOR), known(ratio=50.0), "shrank"),
        (at("logits"), at("encoder.hidden.0"), "moved"),
        (verdict("skip", reason="labels: none"), verdict("skip", reason="generate: none"), "moved"),
    ],
)
def test_every_change_has_a_name(held, before, after, kind):
    assert held([ASKED, before], [ASKED, after]) == [kind]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (passed(), passed()),
        (known(), known()),
        (verdict("skip"), verdict("skip")),
        (verdict("skip", reason="labels: one text"), verdict("skip", reason="labels: another")),
        (at("logits"), at("logits")),
        (verdict(), passed(SPREAD)),
        (passed(0.2), passed(0.19 + SPREAD)),
        (passed(0.19 + SPREAD), passed(0.2)),
        (known(ratio=50.0), known(ratio=49 * FACTOR)),
        (known(ratio=49 * FACTOR), known(ratio=50.0)),
    ],
)
def test_what_stays_within_its_spread_is_no_change(held, before, after):
    assert held([ASKED, before], [ASKED, after]) == []


def test_a_cell_that_vanished_and_cells_that_are_new(held):
    other = verdict(case="other")
    assert held([ASKED, other], [ASKED]) == ["vanished"]
    assert held([ASKED], [ASKED, other]) == ["new"]
    assert held([ASKED], [ASKED, failure()]) == ["diverges"]


STATUSES = ("pass", "known", "skip", "fail", "error")


@examples(60)
@given(
    before=st.lists(st.tuples(st.sampled_from(STATUSES[:3]), st.floats(0, 2)), min_size=1, max_size=6),
    turned=st.tuples(st.integers(0, 5), st.sampled_from(STATUSES)),
)
def test_a_report_passes_its_own_gate_and_no_turn_of_a_verdict_does(before, turned):
    """Whatever there is, and wherever one verdict becomes another."""

    def judged(statuses) -> ReportDigest:
        cells = [verdict(s, case=f"case-{i}", error=e, tolerance=1.0) for i, (s, e) in enumerate(statuses)]
        return ReportDigest.model_validate_json(report(*cells).model_dump_json(by_alias=True))

    if {status for status, _ in before} == {"skip"}:
        return  # nothing was asked: no baseline
    known_before = baseline_of([Path("report.json")], [judged(before)])
    assert list(changes(dict(known_before.rows()), judged(before).verdicts)) == []
    place, status = turned[0] % len(before), turned[1]
    after = [(status, e) if i == place else (s, e) for i, (s, e) in enumerate(before)]
    kinds = [change.kind for change in changes(dict(known_before.rows()), judged(after).verdicts)]
    assert len(kinds) == (status != before[place][0])
    if status in ("fail", "error"):
        assert kinds == ["worse"]


def test_a_known_divergence_may_begin_elsewhere_in_another_run_of_the_same_baseline(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update([written(ASKED, at("logits")), written(ASKED, at("encoder.hidden.0"), name="second.json")], baseline)
    assert [row.found for cell, row in read_baseline(baseline).rows() if cell.case == "forward"] == [""]
    assert gate(written(ASKED, at("decoder.hidden.1"), name="third.json"), baseline).passed


def test_several_runs_give_each_error_its_own_spread(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update([written(passed(0.15)), written(passed(0.24), name="second.json")], baseline)
    ((_, row),) = read_baseline(baseline).rows()
    assert (row.low, row.high) == (0.15, 0.24)
    assert gate(written(passed(0.23 + SPREAD)), baseline).passed
    with pytest.raises(RecordError, match="a flaky cell"):
        update([written(passed()), written(verdict("skip"), passed(case="loss"), name="second.json")], baseline)


def test_an_update_leaves_the_lines_that_did_not_change(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update([written(passed(0.1), passed(0.2, case="loss"))], baseline)
    before = baseline.read_text(encoding="utf-8").splitlines()
    changed = update([written(passed(0.11), known(case="loss"))], baseline)
    after = baseline.read_text(encoding="utf-8").splitlines()
    assert [change.kind for change in changed] == ["diverges"]
    assert [line.strip() for line in after if line not in before] == ['"loss": ["known", null, null, "an-entry"]']
    assert gate(written(passed(), known(case="loss")), baseline).passed


@pytest.mark.parametrize(
    ("verdicts", "fields", "said"),
    [
        ([passed(), failure()], {}, "1 fail, 0 error: a failed run"),
        ([passed(), verdict("error", case="load")], {}, "0 fail, 1 error: a failed run"),
        ([passed()], {"selected": ["NUM01"]}, "only NUM01 was judged: a partial run"),
        ([verdict("skip")], {}, "nothing was run"),
    ],
)
def test_a_failed_or_partial_run_never_becomes_a_baseline(tmp_path, written, capsys, verdicts, fields, said):
    path, baseline = written(*verdicts, **fields), tmp_path / "baseline.json"
    assert run(["gate", str(path), "--baseline", str(baseline), "--update"]) == 2
    assert said in one_line(capsys)
    assert not baseline.exists()


def test_cells_vanish_from_a_baseline_only_where_that_is_said(tmp_path, written, capsys):
    baseline, other = str(tmp_path / "baseline.json"), verdict(case="other")
    assert run(["gate", str(written(ASKED, other)), "--baseline", baseline, "--update"]) == 0
    capsys.readouterr()
    less = str(written(ASKED, name="less.json"))
    assert run(["gate", less, "--baseline", baseline, "--update"]) == 2
    assert "lacks 1 cells" in one_line(capsys)
    assert run(["gate", less, "--baseline", baseline, "--update", "--allow-removed"]) == 0
    assert run(["gate", less, "--baseline", baseline]) == 0


def test_a_failure_names_the_layer_and_an_improvement_the_command(tmp_path, written, capsys):
    baseline = str(tmp_path / "baseline.json")
    good, known_one = str(written(passed(backend="hf-flax"))), known(case="loss")
    assert run(["gate", good, "--baseline", baseline, "--update"]) == 0
    assert run(["gate", good, "--baseline", baseline]) == 0
    assert "gate passed: 1 cell, all as in" in capsys.readouterr().out
    assert run(["gate", str(written(failure(), name="bad.json")), "--baseline", baseline]) == 1
    out = capsys.readouterr().out
    assert "worse" in out and "pass → fail, 0.1 → 8.4e+04 × tolerance, first at decoder.hidden.1" in out
    assert "--update" not in out

    both = written(passed(backend="hf-flax"), known_one, name="both.json")
    assert run(["gate", str(both), "--baseline", baseline, "--update"]) == 0
    capsys.readouterr()
    better = str(written(passed(backend="hf-flax"), passed(case="loss"), name="better.json"))
    assert run(["gate", better, "--baseline", baseline]) == 1
    assert f"if this is intended: parity gate {better} --baseline {baseline} --update" in capsys.readouterr().out


def test_another_version_is_named(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update([written(ASKED)], baseline)
    newer = {"main": {"python": "3.11.7", "versions": {"transformers": "4.57.7", "torch": "2.13.0"}}}
    assert gate(written(ASKED, environments=newer), baseline).versions == ["main: transformers 4.57.6 → 4.57.7"]


def test_where_files_went_is_no_part_of_the_command(tmp_path, written):
    words = [
        "/a/__main__.py",
        "audit",
        "x",
        "--cache",
        "/c",
        "--stack",
        "current",
        "--out=/o",
        "--jobs",
        "2",
        "--strict",
    ]
    update([written(ASKED, command=words)], tmp_path / "baseline.json")
    (run_of,) = read_baseline(tmp_path / "baseline.json").runs
    assert run_of.command == ["parity", "audit", "x", "--stack", "current", "--strict"]


def test_two_verdicts_of_one_cell_are_no_report(tmp_path, written):
    with pytest.raises(RecordError, match="two verdicts of one cell"):
        update([written(ASKED, ASKED)], tmp_path / "baseline.json")


def altered(change) -> str:
    data = json.loads(report(ASKED).model_dump_json(by_alias=True))
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        (altered(lambda data: None)[:-40], "not JSON"),
        ("[]", "neither a report nor a manifest: it has no schema_version"),
        ("<!DOCTYPE html>", "a page for people, not the JSON beside it"),
        ("[" * 100_000, "nested too deeply"),
        (altered(lambda data: data.update(schema_version=999)), "schema_version 999, this version reads 2"),
        (altered(lambda data: data.pop("verdicts")), "verdicts: Field required"),
        (altered(lambda data: data["verdicts"].pop()), "totals do not add up"),
        (altered(lambda data: data["checkpoints"][0].update(name="other")), "has no bart-odd"),
        (altered(lambda data: data["checkpoints"][0].update(digest="1")), "the files of bart-odd differ"),
        (altered(lambda data: data.update(selected=["NUM01"])), "only NUM01 was judged; "),
        (altered(lambda data: data.update(strict=True)), "judged with --strict, and "),
    ],
)
def test_a_report_that_cannot_be_compared_is_one_line(tmp_path, written, capsys, content, said):
    baseline, broken = tmp_path / "baseline.json", tmp_path / "broken.json"
    update([written(ASKED)], baseline)
    broken.write_text(content, encoding="utf-8")
    assert run(["gate", str(broken), "--baseline", str(baseline)]) == 2
    line = one_line(capsys)
    assert line.startswith(f"parity: {broken}: ") and said in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:100], "not JSON"),
        (lambda text: "<!DOCTYPE html>", "a page for people, not the JSON beside it"),
        (lambda text: "[" * 100_000, "nested too deeply"),
        (
            lambda text: text.replace('"pass"', '"fail"', 1),
            "is fail without a reason: a failed run cannot be a baseline",
        ),
        (lambda text: text.replace('"baseline": 2', '"baseline": 7'), "baseline format 7, this version reads 2"),
        (lambda text: text.replace('"baseline": 2', '"schema_version": 1'), "not a baseline"),
        (lambda text: text.replace('"runs"', '"rums"'), "Field required"),
    ],
)
def test_a_baseline_that_is_none_is_one_line(tmp_path, written, capsys, change, said):
    path, baseline = written(ASKED), tmp_path / "baseline.json"
    update([path], baseline)
    baseline.write_text(change(baseline.read_text(encoding="utf-8")), encoding="utf-8")
    assert run(["gate", str(path), "--baseline", str(baseline)]) == 2
    line = one_line(capsys)
    assert line.startswith(f"parity: {baseline}: ") and said in line


def test_without_a_baseline_it_says_what_makes_one(tmp_path, written, capsys):
    assert run(["gate", str(written(ASKED)), "--baseline", str(tmp_path / "none.json")]) == 2
    assert "--update creates it" in one_line(capsys)


def test_wrong_usage_is_one_line_and_no_bug(tmp_path, written, capsys):
    path = str(written(ASKED))
    for more in (["--allow-removed"], [path]):
        assert run(["gate", path, *more]) == 2
        assert one_line(capsys) == "parity: --allow-removed and several reports are for --update"
    assert run(["export", path]) == 2
    assert one_line(capsys) == "parity: say what to write: --junit, --jsonl, --summary or --annotate"


def test_a_baseline_that_is_made_is_not_told_as_one_that_changed(tmp_path, written, capsys):
    path, baseline = str(written(ASKED)), str(tmp_path / "baseline.json")
    assert run(["gate", path, "--baseline", baseline, "--update"]) == 0
    assert capsys.readouterr().out == f"created: {baseline}\n"
    assert run(["gate", path, "--baseline", baseline, "--update"]) == 0
    assert capsys.readouterr().out == f"0 cells changed; written: {baseline}\n"


def test_the_gate_imports_nothing_heavy():
    code = "import sys, parity.cli.main, parity.tools.gate.gate, parity.tools.gate.render; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert loaded.isdisjoint({"numpy", "safetensors", "torch", "jax", "jinja2", "psutil"})


def test_thirty_thousand_cells_are_held_in_a_second(tmp_path, written):
    cells = [passed(0.01 + number % 60 / 100, case=f"case-{number}", claim="a claim " * 12) for number in range(28000)]
    path, baseline = written(*cells), tmp_path / "baseline.json"
    update([path], baseline)
    assert baseline.stat().st_size < 2e6
    took = []  # of the processor, since the machine may be busy; reading and importing add a quarter of a second
    for _ in range(3):
        begun = time.process_time()
        assert gate(path, baseline).passed
        took.append(time.process_time() - begun)
    assert min(took) < 1.0


def failing(tensor="logits", ratio: float = 9.0, **fields):
    place = {"first_divergence": {"tensor": tensor}} if tensor else {}
    return verdict("fail", error=ratio * 1e-6, tolerance=1e-6, **place, **fields)


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        (failing(), []),
        (failing("decoder.hidden.1"), ["worse"]),
        (failing(ratio=900.0), ["grew"]),
        (failing(ratio=0.01), ["shrank"]),
        (passed(), ["better"]),
        (known(), ["better"]),
        (verdict("error"), ["worse"]),
        (verdict("skip"), ["worse"]),
    ],
)
def test_an_accepted_failure_is_held_to_what_it_was(tmp_path, written, after, kinds):
    baseline = tmp_path / "baseline.json"
    update([written(failing(), ASKED)], baseline, accept_failures="waits for release 5.24")
    (row,) = [row for _, row in read_baseline(baseline).rows() if row.status == "fail"]
    assert (row.entry, row.found) == ("waits for release 5.24", "logits")
    assert [change.kind for change in gate(written(after, ASKED, name="after.json"), baseline).changes] == kinds


def test_what_was_raised_is_the_same_failure_whatever_numbers_it_names(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update(
        [written(failing(None, reason="forward raised ValueError: at 0x7f41 in row 3"))],
        baseline,
        accept_failures="known",
    )
    same, other = (
        written(failing(None, reason=reason), name=f"{number}.json")
        for number, reason in enumerate(
            ["forward raised ValueError: at 0x9a02 in row 5", "forward raised KeyError: at 0x7f41 in row 3"]
        )
    )
    assert gate(same, baseline).passed and [each.kind for each in gate(other, baseline).changes] == ["worse"]


def test_an_accepted_failure_stays_accepted_and_takes_no_other_with_it(tmp_path, written):
    baseline = tmp_path / "baseline.json"
    update([written(failing(), ASKED)], baseline, accept_failures="waits")
    assert update([written(failing(), ASKED, name="same.json")], baseline) == []
    another = written(failing(), failing(case="loss"), name="another.json")
    with pytest.raises(RecordError, match=r"2 fail, 0 error: a failed run cannot .*--accept-failures --reason TEXT"):
        update([another], baseline)
    update([another], baseline, accept_failures="so does this")
    assert {row.entry for _, row in read_baseline(baseline).rows()} == {"waits", "so does this"}


def test_an_error_is_never_accepted(tmp_path, written):
    with pytest.raises(RecordError, match=r"0 fail, 1 error: a failed run cannot become the baseline$"):
        update([written(verdict("error"), ASKED)], tmp_path / "baseline.json", accept_failures="because")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--update", "--accept-failures"], "go together"),
        (["--update", "--reason", "because"], "go together"),
        (["--update", "--accept-failures", "--reason", "  "], "go together"),
        (["--accept-failures", "--reason", "because"], "--accept-failures is for --update"),
    ],
)
def test_failures_are_accepted_by_two_words_together(written, capsys, given, said):
    assert run(["gate", str(written(failing())), *given]) == 2
    assert said in one_line(capsys)


def test_the_command_accepts_and_then_holds(tmp_path, written, capsys):
    report, baseline = written(failing(), ASKED), tmp_path / "baseline.json"
    accept = ["--update", "--accept-failures", "--reason", "waits for a release"]
    assert run(["gate", str(report), "--baseline", str(baseline), *accept]) == 0
    assert run(["gate", str(report), "--baseline", str(baseline)]) == 0
    capsys.readouterr()
    other = written(failing("encoder.last"), ASKED, name="other.json")
    assert run(["gate", str(other), "--baseline", str(baseline)]) == 1
    assert "another failure than the accepted one (waits for a release; it was logits)" in capsys.readouterr().out
