"""Generated text: every fault is caught where it was made, and what is a tie is no fault."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from parity.core.case import Case
from parity.core.records import Report, Verdict
from parity.core.trace import Trace
from parity.judge import known_issues
from parity.judge.captured_run import CheckpointRun
from parity.judge.checks import CHECKS
from parity.judge.followup.cases import DIALECTS, may_differ
from parity.judge.generated_text import cut, overridden_settings, settings_of, table_of
from parity.judge.judge import judge
from reference.generation import GenerationSettings
from tests.judge.sample_runs import CANDIDATE, cells
from tests.judge.test_judge import entry

ORACLE = 0
Alter = Callable[[Trace], Trace]


def text(change: Callable[[np.ndarray], np.ndarray | None]) -> Alter:
    """The returned sequences, changed in place or replaced."""

    def alter(trace: Trace) -> Trace:
        changed = change(trace.arrays["sequences"])
        if changed is not None:
            trace.arrays["sequences"] = changed
        return trace

    return alter


def token(row: int, position: int, value: int) -> Alter:
    return text(lambda found: found.__setitem__((row, position), value))


def only(report: Report, check: str, case: str) -> Verdict:
    (verdict,) = (verdict for verdict in cells(report, check) if verdict.case == case)
    return verdict


def settings(**changes: object) -> Alter:
    def alter(trace: Trace) -> Trace:
        trace.facts["settings"].update(changes)
        return trace

    return alter


def test_the_report_holds_every_text_the_oracles_first(run_directory):
    rows = judge(run_directory({"generate.greedy": token(1, 4, 17)})).generated
    greedy = [row for row in rows if row.case == "generate.greedy"]
    assert [(row.row, row.subject) for row in greedy] == [(r, s) for r in range(3) for s in (ORACLE, CANDIDATE)]
    assert [row.verdict for row in greedy] == ["match", "match", "match", "wrong", "match", "match"]
    first = greedy[3].marks[0]
    assert (first.position, first.kind, first.oracle_token) == (4, "wrong", greedy[2].tokens[4])
    assert first.margin > first.tolerance > 0
    beams = [row for row in rows if row.case == "generate.beams" and row.subject == CANDIDATE]
    assert all(abs(row.score - row.oracle_score) < 1e-5 for row in beams)


@pytest.mark.parametrize(("name", "value"), [("num_beams", 1), ("early_stopping", 1), ("forced_bos_token_id", None)])
def test_a_setting_that_is_lost_is_named(run_directory, name, value):
    report = judge(run_directory({"generate.settings": settings(**{name: value})}), checks=["GEN01"])
    (failed,) = cells(report, "GEN01", "fail")
    assert failed.reason.startswith(f"{name} is {value!r}, documented is")


def greedy_gap(run_directory, derived_names, gap: float, best: int = 17):
    """Judges a run in which the oracle puts the token that the candidate took first ``gap`` behind another."""

    def alter(trace: Trace) -> Trace:
        trace.arrays["best_scores"][0, 2] += gap
        trace.arrays["best_tokens"][0, 2] = best
        return trace

    changes = {(ORACLE, name): alter for name in derived_names("generate.greedy.score-")}
    return only(judge(run_directory(changes), checks=["GEN02"]), "GEN02", "generate.greedy")


@pytest.fixture
def derived_names(run_directory) -> Callable[[str], list[str]]:
    """Names of the derived cases of a conforming run that begin so."""
    report = judge(run_directory(), checks=["GEN02"])
    names = [case.name for case in report.cases["bart-odd"]]
    return lambda start: [name for name in names if name.startswith(start)]


def test_an_exact_tie_is_a_tie_flip_with_no_margin(run_directory, derived_names):
    verdict = greedy_gap(run_directory, derived_names, 0.0)
    assert verdict.status == "pass"
    (flip,) = verdict.evidence["tie_flips"]
    assert (flip["row"], flip["position"], flip["best"], flip["margin"]) == (0, 3, 17, 0.0)


@pytest.mark.parametrize(("share", "status"), [(0.99, "pass"), (1.01, "fail")])
def test_a_near_tie_passes_just_inside_the_tolerance_and_fails_just_outside(
    run_directory, derived_names, share, status
):
    tolerance = greedy_gap(run_directory, derived_names, 0.0).evidence["tie_flips"][0]["tie_tolerance"]
    verdict = greedy_gap(run_directory, derived_names, share * tolerance)
    assert verdict.status == status
    found = verdict.evidence["tie_flips"][0] if status == "pass" else verdict.evidence
    assert found["margin"] == pytest.approx(share * tolerance)
    if status == "fail":
        assert verdict.evidence["first_step"] == 3 and "the oracle has 17" in verdict.reason


def test_a_tolerance_that_no_choice_could_exceed_is_an_error(run_directory):
    def blurred(trace: Trace) -> Trace:
        trace.arrays["logits"] += 5.0
        return trace

    changes = {(index, "forward"): blurred for index in (2, 3)}
    verdict = only(judge(run_directory(changes), checks=["GEN02"]), "GEN02", "generate.greedy")
    assert verdict.status == "error" and "vacuous" in verdict.reason


def test_greedy_text_of_a_precision_in_which_nobody_has_numbers_fails_as_the_numbers_do(run_directory, original):
    def overflown(trace: Trace) -> Trace:
        for name, array in trace.arrays.items():
            if np.issubdtype(array.dtype, np.floating):
                trace.arrays[name] = np.full_like(array, np.nan)
        return trace

    changes = {key: overflown for key, trace in original.items() if key[0] in (2, 3) and "logits" in trace.arrays}
    verdict = only(judge(run_directory(changes), checks=["GEN02"]), "GEN02", "generate.greedy")
    assert verdict.status == "fail" and "no reference returned finite values" in verdict.reason


def test_a_forbidden_token_is_wrong_whatever_its_logit(run_directory):
    verdict = only(judge(run_directory({"generate.no-repeat": token(0, 5, 46)})), "GEN02", "generate.no-repeat")
    assert verdict.status == "fail"
    verdict = only(judge(run_directory({"generate.min-length": token(0, 6, 2)})), "GEN02", "generate.min-length")
    assert verdict.status == "fail" and "the token is forbidden" in verdict.reason


def test_swapped_rows_are_wrong_from_the_first_token_that_differs(run_directory):
    changes = {"generate.greedy": text(lambda found: found[[1, 0, 2]])}
    verdict = only(judge(run_directory(changes), checks=["GEN02"]), "GEN02", "generate.greedy")
    assert verdict.status == "fail" and verdict.evidence["first_step"] == 2


def test_beams_that_part_at_a_tie_pass_and_say_so(run_directory):
    """The same text is wrong, then a tie once it is among those that can be reached, and else undecided."""
    rival: list[np.ndarray] = []

    def reached(trace: Trace) -> Trace:
        mine = np.flatnonzero(trace.arrays["row"] == 0)
        trace.arrays["sequences"][mine[0]] = rival[0]
        trace.arrays["margins"][mine[0]] = 1e-9
        return trace

    def other(found: np.ndarray) -> None:
        found[0, 7] = 17
        rival[:] = [found[0].copy()]

    run_directory({"generate.beams": text(other)})
    (name,) = [
        case.name
        for case in judge(run_directory({"generate.beams": text(other)}), checks=["GEN03"]).cases["bart-odd"]
        if case.name.startswith("generate.beams.reachable-")
    ]
    wrong = only(judge(run_directory({"generate.beams": text(other)}), checks=["GEN03"]), "GEN03", "generate.beams")
    assert wrong.status == "fail" and wrong.evidence["first_step"] == 7
    report = judge(run_directory({"generate.beams": text(other), (ORACLE, name): reached}), checks=["GEN03"])
    verdict = only(report, "GEN03", "generate.beams")
    assert verdict.status == "pass" and verdict.evidence["tie_flips"][0]["margin"] == 1e-9

    def too_many(trace: Trace) -> Trace:
        trace.facts["exhausted"] = True
        return trace

    report = judge(run_directory({"generate.beams": text(other), (ORACLE, name): too_many}), checks=["GEN03"])
    assert only(report, "GEN03", "generate.beams").status == "error"


def test_a_text_that_the_oracle_was_not_asked_about_is_our_error(run_directory, derived_names):
    changes = {(ORACLE, name): lambda trace: None for name in derived_names("generate.greedy.score-")}
    verdict = only(judge(run_directory(changes), checks=["GEN02"]), "GEN02", "generate.greedy")
    assert verdict.status == "error" and "did not score" in verdict.reason


def in_another_dialect(name: str = "generate.defaults") -> dict[tuple[int, str], Alter]:
    """The candidate's text with one token changed, and one dialect's oracle made to write just that."""
    dialect = f"{name}.as-tf"

    def same(trace: Trace) -> Trace:
        trace.arrays["sequences"][0, 5] = 17
        return trace

    return {(CANDIDATE, name): same, (ORACLE, dialect): same}


@pytest.mark.parametrize(("dialect", "status"), [("TF", "known"), ("FLAX_4_57", "fail"), (None, "known")])
def test_an_entry_may_ask_for_the_dialect_that_explains_a_text(run_directory, monkeypatch, dialect, status):
    known = entry(checks=["GEN03"], cases=["generate.defaults"], tensors=[], dialect=dialect)
    monkeypatch.setattr(known_issues, "entries", lambda: (known,))
    report = judge(run_directory(in_another_dialect()), checks=["GEN03"])
    verdict = only(report, "GEN03", "generate.defaults")
    assert verdict.status == status and verdict.evidence["dialects"] == ["TF"]


def test_a_wrong_text_asks_for_every_dialect_of_it_and_of_its_partner(run_directory):
    report = judge(run_directory({"generate.perturbed-batch": token(1, 3, 46)}), checks=["GEN08"])
    names = {case.name for case in report.cases["bart-odd"]}
    for case in ("generate.perturbed-batch", "generate.defaults"):
        asked = [name for name in DIALECTS if f"{case}.as-{name.lower().replace('_', '-')}" in names]
        assert asked == ["FLAX_4_37", "FLAX_4_57", "TF", "TORCH_4_37"]
    assert not any(name.startswith("generate.greedy.as-") for name in names)


def test_what_called_for_a_case_is_no_part_of_what_is_asked(run_directory):
    """So that an audit of one stack finds in the cache what an audit of several asked, whoever wrote what there."""
    asked = []
    for wrong in (46, 17):
        report = judge(run_directory({"generate.defaults": token(1, 3, wrong)}), checks=["GEN08"])
        cases = {case.name: case for case in report.cases["bart-odd"]}
        asked.append({name: case.digest for name, case in cases.items() if ".score-" not in name})
    assert asked[0] == asked[1]
    assert all(any(part in name for name in asked[0]) for part in (".as-", ".reachable-"))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["FLAX_4_57", "TORCH_4_57", "TORCH_5_23"]),
        ({"max_length": 19}, []),
        ({"max_length": 19, "no_repeat_ngram_size": 2}, ["CTRANSLATE2_4_8", "FLAX_4_37"]),
        ({"num_beams": 2, "max_length": 19}, ["CTRANSLATE2_4_8", "FLAX_4_37", "FLAX_4_57", "TF", "TORCH_4_37"]),
    ],
)
def test_only_dialects_that_decide_something_are_asked(given, names):
    case = Case("x", "generate", notes={"settings": {"decoder_start_token_id": 2, "eos_token_id": 2, **given}})
    assert [name for name in DIALECTS if may_differ(DIALECTS[name], case)] == names


def test_equal_texts_are_asked_about_once(run_directory):
    report = judge(run_directory(), checks=["GEN02"])
    names = [case.name for case in report.cases["bart-odd"] if ".score-" in case.name]
    assert len({name.partition(".score-")[0] for name in names}) == len(names)
    assert "score.beams" in {case.name for case in report.cases["bart-odd"]}


def test_what_fills_rows_makes_no_other_text():
    settings = settings_of(
        Case(
            "x",
            "generate",
            notes={
                "settings": {
                    "eos_token_id": 2,
                    "pad_token_id": 1,
                    "decoder_start_token_id": 2,
                    "max_length": 6,
                }
            },
        )
    )
    padded = np.array([[2, 5, 2, 1, 1], [2, 5, 6, 7, 2]])
    repeated_ends = np.array([[2, 5, 2, 2, 2, 2], [2, 5, 6, 7, 2, 9]])
    assert np.array_equal(table_of(padded, settings), table_of(repeated_ends, settings))
    assert [cut(row, settings) for row in padded] == [[2, 5, 2], [2, 5, 6, 7, 2]]


def asked_about(sequences: list[list[int]], **settings) -> SimpleNamespace:
    """What a check looks at, of texts alone."""
    notes = {"settings": GenerationSettings.from_dict({"bos_token_id": 1, "eos_token_id": 2, **settings}).to_dict()}
    case = Case("generate.beams", "generate", {"input_ids": [[3]] * len(sequences)}, notes=notes)
    trace = Trace({"sequences": np.array(sequences)})
    nothing = {"dialects": list, "settings_held": dict}
    return SimpleNamespace(case=case, trace=trace, model_spec=SimpleNamespace(vocab=9), **nothing)


@pytest.mark.parametrize(("filler", "spoken"), [(0, None), (2, ["TORCH_4_57", "TORCH_5_23"]), (4, [])])
def test_a_dialect_is_named_where_its_filling_stands_after_the_end(filler, spoken):
    """Padding with 0, which beam search of today's library takes for none and fills with the end."""
    evidence = asked_about([[1, 5, 6, 2], [1, 2, filler, filler]], pad_token_id=0, num_beams=2, max_length=4)
    _, found = CHECKS["GEN07"].function(evidence)
    assert found.ok == (spoken is None) and found.evidence.get("dialects") == spoken


@pytest.mark.parametrize(("text", "forced", "ok"), [([1, 5, 2], 2, True), ([1, 5, 2], None, False), ([1, 2], 2, False)])
def test_a_forced_end_comes_at_the_longest_length_whatever_the_shortest_is(text, forced, ok):
    found = CHECKS["GEN05"].function(asked_about([text], max_length=3, min_length=3, forced_eos_token_id=forced))
    assert all(each.ok for each in found) == ok


@pytest.mark.parametrize(
    ("held", "arguments", "differs"),
    [
        ({"decoder_start_token_id": 5}, {"num_beams": 1}, True),
        ({"num_beams": 3}, {"num_beams": 1}, False),
        ({"num_beams": 3}, {}, True),
        ({"max_new_tokens": 6, "min_length": 10}, {"num_beams": 1}, False),
        ({}, {}, False),
    ],
)
def test_what_a_subject_holds_counts_where_a_case_does_not_pass_it(run_directory, held, arguments, differs):
    (run,) = CheckpointRun.open_all(run_directory())[1]
    own = run.cases["generate.settings"].notes["settings"]
    in_force = GenerationSettings.from_dict(own, **arguments).to_dict()
    case = Case("generate.x", "generate", {}, {"arguments": arguments}, notes={"settings": in_force})
    run.trace = lambda index, name: Trace(facts={"settings": {**own, **held}})
    assert bool(overridden_settings(run, CANDIDATE, case)) == differs
