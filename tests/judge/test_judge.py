"""Exactly one verdict for every planned cell, whatever became of the traces."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from parity.core.records import STOPPED, Manifest, RecordError, Report, read_record, write_record
from parity.core.trace import Raised, Trace
from parity.judge import known_issues
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.judge.checks.registry import Check
from parity.judge.judge import NothingToJudge, judge, planned_cells, select_checks
from parity.judge.known_issues import Entry
from parity.judge.results import Comparison
from tests.judge.checks.test_checks import off
from tests.judge.sample_runs import CANDIDATE, SUBJECTS, _subject_record, cells

ORACLE = 0


def entry(**changes) -> Entry:
    fields = {
        "id": "example",
        "severity": "low",
        "backends": ["hf-torch"],
        "versions": {"transformers": "<1"},
        "checks": ["NUM04"],
        "cases": ["forward"],
        "tensors": ["logits"],
        "cause": "a reason",
        "upstream": "file.py: f",
        "effect": "none",
    }
    return Entry(**{**fields, **changes})


@pytest.fixture
def with_known_issue(monkeypatch):
    def use(*entries: Entry) -> None:
        monkeypatch.setattr(known_issues, "entries", lambda: entries)

    use()
    return use


def only(report: Report, check: str, case: str = "forward"):
    (verdict,) = (verdict for verdict in cells(report, check) if verdict.case == case)
    return verdict


def test_totals_add_up_to_the_planned_cells(run_directory):
    directory = run_directory()
    (run,) = CheckpointRun.open_all(directory)[1]
    report = judge(directory)
    planned = list(planned_cells(run, list(CHECKS.values())))
    assert len(report.verdicts) == len(planned) == sum(report.totals.model_dump().values())
    assert len({(v.check, v.case, v.backend, v.variant) for v in report.verdicts}) == len(planned)
    assert Report.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_each_checkpoint_is_told_of_as_soon_as_it_is_judged(run_directory):
    told = []
    report = judge(run_directory(), checks=["NUM04"], on_checkpoint=lambda *told_of: told.append(told_of))
    assert told == [(report.checkpoints[0].name, report.totals)]


def test_a_missing_capability_is_a_skip_that_names_it(run_directory):
    records = [_subject_record(subject) for subject in SUBJECTS]
    lacks = {"labels": "its class has no argument labels"}
    able = [name for name in records[CANDIDATE].capabilities if name != "labels"]
    records[CANDIDATE] = records[CANDIDATE].model_copy(update={"capabilities": able, "lacking": lacks})
    verdict = only(judge(run_directory(subjects=records), checks=["LOSS01"]), "LOSS01", "loss")
    assert (verdict.status, verdict.reason) == ("skip", "labels: its class has no argument labels")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("crash", "fail"), ("time-out", "error"), ("out-of-memory", "error"), ("harness-error", "error")],
)
def test_an_answer_that_never_came_is_a_verdict_of_its_cells_only(run_directory, outcome, status):
    report = judge(run_directory(outcomes={(CANDIDATE, "forward.single-row"): (outcome, "SIGSEGV")}))
    hit = only(report, "PAD01", "forward.single-row")
    assert hit.status == status and "SIGSEGV" in hit.reason
    assert only(report, "NUM04").status == "pass"


def test_a_trace_that_was_never_captured_is_our_error(run_directory):
    report = judge(run_directory({"encode-decode": lambda trace: None}), checks=["CALL01"])
    assert only(report, "CALL01", "encode-decode").status == "error"


def test_what_a_backend_raises_where_the_oracle_answers_is_a_failure_with_its_frame(run_directory):
    raised = Raised("TypeError", "no such argument", "transformers/models/bart/modeling_bart.py:12 in forward")
    report = judge(run_directory({"forward": lambda trace: Trace(raised=raised)}))
    verdict = only(report, "NUM04")
    assert verdict.status == "fail" and verdict.evidence["exception"] == "TypeError"
    assert "modeling_bart.py:12" in verdict.reason


def test_without_an_oracle_the_checkpoint_is_blamed_and_the_rest_is_judged(run_directory):
    raised = Raised("CheckpointError", "model.safetensors: model.shared.weight is missing", "loading.py:1 in load")
    report = judge(run_directory({(ORACLE, "forward"): lambda trace: Trace(raised=raised)}))
    verdict = only(report, "NUM04")
    assert verdict.status == "fail" and "model.shared.weight is missing" in verdict.reason
    assert only(report, "EVAL01", "forward.repeated").status == "pass"
    assert only(report, "OUT01").status == "pass"


def test_an_oracle_that_broke_is_our_error(run_directory):
    report = judge(run_directory(outcomes={(ORACLE, "forward"): ("time-out", "600 s")}), checks=["NUM04"])
    assert only(report, "NUM04").status == "error"


def test_an_oracle_that_is_not_finite_excuses_nobody(run_directory):
    def poison(trace: Trace) -> Trace:
        trace.arrays["logits"][0, 0, 0] = np.nan
        return trace

    both = {(ORACLE, "forward"): poison, "forward": poison}
    verdict = only(judge(run_directory(both), checks=["NUM04"]), "NUM04")
    assert verdict.status == "fail" and "not finite" in verdict.reason


def test_a_noise_floor_too_long_to_fail_is_an_error(run_directory):
    huge = {(index, "forward"): off("logits", 50.0) for index in (2, 3)}
    verdict = only(judge(run_directory(huge), checks=["NUM04"]), "NUM04")
    assert verdict.status == "error" and "vacuous" in verdict.reason


def invented(function) -> Check:
    return Check("X01", "x", "a claim", "nowhere", "nothing", ("forward",), (), (), False, "candidate", function)


@pytest.mark.parametrize("broken", [lambda evidence: iter(()), lambda evidence: iter([1 / 0])])
def test_a_check_that_compares_nothing_or_breaks_is_our_error(run_directory, monkeypatch, broken):
    monkeypatch.setitem(CHECKS, "X01", invented(broken))
    assert only(judge(run_directory(), checks=["X01"]), "X01").status == "error"


def test_a_comparison_of_nan_never_passes():
    assert not Comparison("logits", float("nan"), 1.0, "slice", {}).ok


def test_a_damaged_trace_is_one_cells_error(run_directory):
    directory = run_directory()
    (directory / f"traces/{CANDIDATE}.encode-decode.safetensors").write_bytes(b"damaged")
    report = judge(directory, checks=["CALL01", "EVAL01"])
    assert only(report, "CALL01", "encode-decode").status == "error"
    assert only(report, "EVAL01", "forward.repeated").status == "pass"


def test_the_known_issues_turns_exactly_its_own_failure_into_known(run_directory, with_known_issue):
    directory = run_directory({"forward": off("logits", 1e-3)})
    with_known_issue(entry())
    verdict = only(judge(directory, checks=["NUM04"]), "NUM04")
    assert verdict.status == "known" and verdict.evidence["known_issue"] == "example"


@pytest.mark.parametrize(
    "narrower",
    [
        {"tensors": ["decoder.hidden.*"]},
        {"versions": {"transformers": ">=1"}},
        {"backends": ["hf-tf"]},
        {"raises": "TypeError"},
        {"attention": ["sdpa"]},
        {"config": {"scale_embedding": False}},
        {"dtypes": ["float16"]},
        {"devices": ["cuda"]},
        {"cases": ["loss"]},
        {"unless": {"scale_embedding": True}},
        {"unless": {"a_field_with_its_default": 3}},
    ],
)
def test_the_known_issues_says_nothing_beyond_its_conditions(run_directory, with_known_issue, narrower):
    directory = run_directory({"forward": off("logits", 1e-3)})
    with_known_issue(entry(**narrower))
    assert only(judge(directory, checks=["NUM04"]), "NUM04").status == "fail"


def test_an_entry_holds_for_all_values_but_one(run_directory, with_known_issue):
    directory = run_directory({"forward": off("logits", 1e-3)})
    with_known_issue(entry(unless={"eos_token_id": 5}))
    assert only(judge(directory, checks=["NUM04"]), "NUM04").status == "known"


@pytest.mark.parametrize(("versions", "status"), [(["==8", "<1"], "known"), (["==8", ">=1"], "fail")])
def test_one_of_an_entry_s_versions_must_hold(run_directory, with_known_issue, versions, status):
    directory = run_directory({"forward": off("logits", 1e-3)})
    with_known_issue(entry(versions={"transformers": versions}))
    assert only(judge(directory, checks=["NUM04"]), "NUM04").status == status


def test_a_cell_that_passes_does_not_fail_for_an_entry_that_says_it_diverges(run_directory, with_known_issue):
    with_known_issue(entry())
    verdict = only(judge(run_directory(), checks=["NUM04"]), "NUM04")
    assert verdict.status == "pass" and "known_issue" not in verdict.evidence


def test_strict_counts_known_critical_ones_as_failures(run_directory, with_known_issue):
    directory = run_directory({"forward": off("logits", 1e-3)})
    for severity, status in (("critical", "fail"), ("high", "known")):
        with_known_issue(entry(severity=severity))
        assert only(judge(directory, checks=["NUM04"], strict=True), "NUM04").status == status


def test_two_libraries_against_the_oracle_put_it_under_suspicion(run_directory):
    records = [_subject_record(subject) for subject in SUBJECTS]
    records[3] = records[3].model_copy(update={"backend": "hf-tf", "role": "candidate", "label": "hf-tf"})
    same = off("logits", 1e-2)
    report = judge(run_directory({(3, "forward"): same, "forward": same}, subjects=records), checks=["NUM04"])
    suspected = {v.backend: v.evidence.get("oracle_suspected") for v in cells(report, "NUM04", "fail")}
    assert suspected == {"hf-torch": ["hf-tf"], "hf-tf": ["hf-torch"]}


def test_one_library_alone_puts_nothing_under_suspicion(run_directory):
    report = judge(run_directory({"forward": off("logits", 1e-2)}), checks=["NUM04"])
    assert "oracle_suspected" not in only(report, "NUM04").evidence


def test_checks_are_chosen_by_id_or_group():
    assert [check.id for check in select_checks(["NUM04"])] == ["NUM04"]
    assert {check.group for check in select_checks(["losses"])} == {"losses"}
    with pytest.raises(NothingToJudge, match="NUM99"):
        select_checks(["NUM99"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version": 1}'])
def test_an_unreadable_manifest_is_one_clear_line(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RecordError, match=r"manifest\.json") as caught:
        judge(tmp_path)
    assert "\n" not in str(caught.value)


def test_judging_needs_no_framework():
    blocked = "torch", "jax", "flax", "tensorflow", "transformers", "parity.backends"
    code = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\nimport parity.judge.judge, parity.judge.checks"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_entry_of_the_known_issues_names_checks_that_exist():
    for known in known_issues.entries():
        assert set(known.checks) <= set(CHECKS) and known.cause and known.upstream and known.effect
    assert len({known.id for known in known_issues.entries()}) == len(known_issues.entries())


def test_an_entry_may_hold_for_one_row_only(run_directory, with_known_issue):
    with_known_issue(
        entry(checks=["GRAD01"], cases=["gradients"], tensors=["gradient.*"], only_at={"rows": "pad_token_id"})
    )
    shared = "gradient.model.shared.weight"
    row_1, row_5 = off(shared, 1.0, ([1],)), off(shared, 1e-2, ([5],))
    # What is excused is the larger: where it stayed in the comparison, it would be the worst.
    for change, status in ((row_1, "known"), (lambda trace: row_5(row_1(trace)), "fail"), (row_5, "fail")):
        directory = run_directory({"gradients": change})
        verdict = only(judge(directory, checks=["GRAD01"]), "GRAD01", "gradients")
        assert verdict.status == status
        if status == "fail":
            assert verdict.evidence["worst"]["index"]["rows"] == 5, "the row that is excused is no part of it"


def test_a_failure_is_told_by_what_no_entry_excuses(run_directory, with_known_issue):
    """The divergence that is known is larger, and comes first; the one that nobody knew is what is shown."""
    known, other = "decoder.hidden.1", "logits"
    with_known_issue(entry(checks=["NUM01", "NUM04"], tensors=[known]))
    directory = run_directory({"forward": lambda trace: off(other, 1e-2)(off(known, 1.0)(trace))})
    report = judge(directory, checks=["NUM01", "NUM04"])
    assert only(report, "NUM01").status == "known"
    verdict = only(report, "NUM04")
    assert verdict.status == "fail" and verdict.evidence["worst"]["tensor"] == other


def test_the_known_part_of_one_check_s_findings_is_left_out(run_directory, with_known_issue):
    with_known_issue(entry(checks=["NUM01"], tensors=["encoder.hidden.1"]))
    both = {"forward": lambda trace: off("decoder.hidden.1", 1e-2)(off("encoder.hidden.1", 1.0)(trace))}
    verdict = only(judge(run_directory(both), checks=["NUM01"]), "NUM01")
    assert verdict.status == "fail"
    assert verdict.first_divergence.tensor == verdict.evidence["worst"]["tensor"] == "decoder.hidden.1"
    assert verdict.evidence["excused"] == ["example"] and "encoder.hidden.1" not in verdict.reason


def test_a_value_that_is_not_finite_is_said_to_be_that(run_directory):
    def spoil(trace):
        trace.arrays["encoder.hidden.1"][0, 2, 3] = np.inf
        return trace

    verdict = only(judge(run_directory({"forward": spoil}), checks=["NUM01"]), "NUM01")
    assert "encoder.hidden.1 at [batch 0, src 2" in verdict.reason
    assert "is not finite where the oracle has " in verdict.reason


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"inputs": "my texts.jsonl"}, " --inputs 'my texts.jsonl'"),
        ({"model_class": "BartModel"}, " --class BartModel"),
        ({"time_limit": 30.0}, " --time-limit 30"),
        ({"known_issues": "a;b.toml"}, " --known-issues 'a;b.toml'"),
        ({"time_limit": float("inf")}, " --time-limit inf"),
    ],
)
def test_the_command_that_shows_it_again_has_the_run_s_options(run_directory, options, words):
    directory = run_directory({"forward": off("logits", 1e-3)})
    manifest = read_record(Manifest, directory / "manifest.json")
    elsewhere = [each.model_copy(update={"path": "my models/$(x)"}) for each in manifest.checkpoints]
    write_record(
        manifest.model_copy(update={"options": options, "checkpoints": elsewhere}), directory / "manifest.json"
    )
    verdict = only(judge(directory, checks=["NUM04"]), "NUM04")
    assert (
        verdict.evidence["reproduce"] == f"parity audit 'my models/$(x)' --backend hf-torch/eager --check NUM04{words}"
    )


def test_an_entry_may_ask_where_it_begins(run_directory, with_known_issue):
    directory = run_directory({"forward": off("logits", 1e-3)})
    for first, status in ((["logits"], "known"), (["encoder.hidden.0"], "fail")):
        with_known_issue(entry(first=first))
        assert only(judge(directory, checks=["NUM04"]), "NUM04").status == status


def test_an_entry_does_not_excuse_a_cell_that_has_no_answer(run_directory, with_known_issue):
    with_known_issue(entry(tensors=[]))
    raised = Raised("CheckpointError", "a parameter is missing", "loading.py:1 in load")
    no_truth = judge(run_directory({(ORACLE, "forward"): lambda trace: Trace(raised=raised)}), checks=["NUM04"])
    crashed = judge(run_directory(outcomes={(CANDIDATE, "forward"): ("crash", "SIGSEGV")}), checks=["NUM04"])
    assert only(no_truth, "NUM04").status == only(crashed, "NUM04").status == "fail"


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def test_a_damaged_trace_is_an_error_of_whatever_needs_it_and_changes_nothing_else(run_directory):
    """Of a candidate only its own cells; of the oracle or a noise floor's member whatever is measured by it."""
    folder = run_directory()
    whole = {key(verdict): verdict for verdict in judge(folder).verdicts}
    manifest = read_record(Manifest, folder / "manifest.json")
    for role in ("candidate", "oracle", "noise_floor"):
        record = next(r for r in manifest.traces if r.case == "forward" and manifest.subjects[r.subject].role == role)
        kept = (folder / record.path).read_bytes()
        damage(folder / record.path)
        after = judge(folder).verdicts
        (folder / record.path).write_bytes(kept)
        moved = [verdict for verdict in after if verdict.status != whole[key(verdict)].status]
        assert moved and {verdict.status for verdict in moved} == {"error"}
        assert all(record.path in verdict.reason for verdict in moved)
        if role == "candidate":
            assert {verdict.backend for verdict in moved} == {manifest.subjects[record.subject].backend}


def key(verdict):
    return (verdict.check, verdict.case, verdict.backend, verdict.variant, verdict.dtype)


def _in_float16(change):
    records = [_subject_record(subject) for subject in SUBJECTS]
    records[CANDIDATE] = records[CANDIDATE].model_copy(
        update={"dtype": "float16", "capabilities": [*records[CANDIDATE].capabilities, "float16"]}
    )
    return {"subjects": records, "alter": change}


def test_values_beyond_float16_are_said_once_and_first(run_directory):
    """The first tensor that leaves the range, from the oracle; where none does, the first that is not finite."""

    def large(trace):
        trace.arrays["encoder.hidden.2"][0, 1, 2] = 3e5
        return trace

    def spoiled(trace):
        trace.arrays["decoder.hidden.1"][:] = np.nan
        return trace

    for change, words in (
        ({(ORACLE, "forward"): large}, "encoder.hidden.2 reaches 300,000 in float64"),
        ({"forward": spoiled}, "decoder.hidden.1 is not finite in float16 (hf-torch)"),
    ):
        (notice,) = judge(run_directory(**_in_float16(change)), checks=["NUM01"]).checkpoints[0].notices
        assert notice.id == "float16-range" and words in notice.cause and "bfloat16" in notice.advice
    assert judge(run_directory(**_in_float16({})), checks=["NUM01"]).checkpoints[0].notices == []
    assert judge(run_directory({(ORACLE, "forward"): large}), checks=["NUM01"]).checkpoints[0].notices == []


def test_weights_that_are_not_finite_are_said_once(run_directory):
    def damaged(trace):
        trace.facts["parameters"]["model.shared.weight"]["non_finite"] = 3
        return trace

    (notice,) = judge(run_directory({(1, "load"): damaged}), checks=["NUM01"]).checkpoints[0].notices
    assert (
        notice.id == "weights-not-finite" and "3 weights are NaN or infinite, the first in model.shared" in notice.cause
    )


def test_an_answer_of_files_that_changed_is_an_error_that_names_the_file(run_directory):
    reason = "checkpoint/model.safetensors: changed while it was used"
    report = judge(run_directory(outcomes={(CANDIDATE, "forward"): ("changed", reason)}), checks=["NUM04"])
    assert (only(report, "NUM04").status, only(report, "NUM04").reason) == ("error", reason)


def with_options(directory, **options):
    path = directory / "manifest.json"
    manifest = read_record(Manifest, path)
    write_record(manifest.model_copy(update={"options": {**manifest.options, **options}}), path)
    return directory


def test_a_run_that_was_captured_for_some_checks_is_judged_by_those_alone(run_directory):
    directory = with_options(run_directory({}), checks=["NUM04", "outputs"])
    report = judge(directory)
    assert report.selected == ["NUM04", "outputs"]
    assert {verdict.check for verdict in report.verdicts} <= {"NUM04", "OUT01", "OUT02", "OUT03"}
    assert {verdict.check for verdict in judge(directory, checks=["OUT01"]).verdicts} == {"OUT01"}
    with pytest.raises(NothingToJudge, match=r"captured for NUM04, outputs only; repeat the audit for other checks"):
        judge(directory, checks=["GRAD01"])


@pytest.mark.parametrize("checks", [5, "NUM04", [5], {"NUM04": 1}])
def test_a_manifest_whose_checks_are_no_names_is_one_line(run_directory, checks):
    directory = with_options(run_directory({}), checks=checks)
    with pytest.raises(RecordError, match="checks: not a list of names"):
        judge(directory)


def test_an_expression_selects_cells(run_directory):
    """Of a check that it holds of for some cases only, the others are not judged; the report says what was selected."""
    report = judge(run_directory(), keywords="NUM01 and forward and not defaults")
    assert {verdict.check for verdict in report.verdicts} == {"NUM01"}
    assert {verdict.case for verdict in report.verdicts} == {
        verdict.case
        for verdict in judge(run_directory(), checks=["NUM01"]).verdicts
        if "forward" in verdict.case and "defaults" not in verdict.case
    }
    assert report.selected == ["-k NUM01 and forward and not defaults"]


def test_what_a_run_was_captured_for_by_an_expression_is_judged_by_it(run_directory):
    directory = run_directory()
    manifest = read_record(Manifest, directory / "manifest.json")
    write_record(manifest.model_copy(update={"options": {"keywords": "losses"}}), directory / "manifest.json")
    assert {verdict.check for verdict in judge(directory).verdicts} == {
        check.id for check in CHECKS.values() if "losses" in (check.group, *check.claim.split())
    } & {verdict.check for verdict in judge(run_directory()).verdicts}


def test_judging_stops_at_the_first_failing_check_and_says_what_is_left(run_directory):
    directory = run_directory({"forward": off("logits", 1e-3)})
    whole, report = judge(directory), judge(directory, exit_first=True)
    failing = next(verdict.check for verdict in whole.verdicts if verdict.status == "fail")
    assert {verdict.check for verdict in report.verdicts if verdict.status == "fail"} == {failing}
    count = len(report.verdicts)
    assert report.verdicts == whole.verdicts[:count] and report.verdicts[-1].check == failing
    left = {verdict.check for verdict in whole.verdicts[count:]}
    (line,) = report.not_run
    what = f"{len(left)} checks ({len(whole.verdicts) - count} cells) after {failing} not judged: {STOPPED}"
    assert line.endswith(what) and report.exit_code == 1
    good = run_directory()
    assert judge(good, exit_first=True).verdicts == judge(good).verdicts
