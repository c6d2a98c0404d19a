"""Comparing two sides: what is equal, what conforming implementations differ by, and the first tensor that differs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from parity.cli.main import run
from parity.tools.compare.compare import compare
from parity.tools.compare.selector import CompareError, SubjectSelector

WHO = SubjectSelector("hf-torch")


def first(comparison, case: str):
    (found,) = (each for each in comparison.cases if each.case == case)
    return found.first


def test_a_run_is_equal_to_itself(two_runs):
    one, _ = two_runs({})
    found = compare(one, one, ["*"])
    assert found.same and len(found.cases) > 20
    assert all(row.error == 0 for each in found.cases for row in each.rows)


def test_two_conforming_answers_are_within_both_tolerances(two_runs):
    one, _ = two_runs({})
    found = compare(replace(one, who=WHO), replace(one, who=WHO))
    assert found.same


def scaled(name: str, by: float):
    def change(trace):
        trace.arrays[name][1, 2] *= by
        return trace

    return change


def test_the_first_tensor_that_differs_is_named_with_its_place(two_runs):
    one, other = two_runs({"forward": lambda trace: scaled("logits", 1.01)(scaled("decoder.hidden.1", 1.01)(trace))})
    found = compare(one, other)
    assert not found.same
    row = first(found, "forward")
    assert (row.name, row.at) == ("decoder.hidden.1", (1, 2)) and row.share > 100
    assert first(found, "load") is None
    assert " tensors, first to differ decoder.hidden.1>" in repr(found.differing)


def lost(name):
    def change(trace):
        del trace.arrays[name]
        return trace

    return change


def cut(name):
    def change(trace):
        trace.arrays[name] = trace.arrays[name][:, :-1]
        return trace

    return change


def not_a_number(trace):
    trace.arrays["logits"][0, 0, 0] = np.nan
    return trace


def other_bits(trace):
    trace.facts["parameters"]["model.encoder.layers.0.fc1.weight"]["digest"] = "0"
    return trace


def other_token(trace):
    trace.arrays["sequences"][0, 2] += 1
    return trace


@pytest.mark.parametrize(
    ("case", "change", "name", "note"),
    [
        ("forward", lost("decoder.hidden.1"), "decoder.hidden.1", "only hf-torch has it"),
        ("forward", cut("encoder.last"), "encoder.last", "shape"),
        ("forward", not_a_number, "logits", "not finite"),
        ("load", other_bits, "model.encoder.layers.0.fc1.weight", "other bits"),
        ("generate.greedy", other_token, "sequences", "1 of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_number_differs_too(two_runs, case, change, name, note):
    one, other = two_runs({case: change})
    row = first(compare(one, other, ["*"]), case)
    assert row.name == name and note in row.note


def test_another_dtype_has_other_bits_and_the_same_shapes(two_runs):
    def in_bfloat16(trace):
        for parameter in trace.facts["parameters"].values():
            parameter.update(dtype="bfloat16", digest="0")
        return trace

    one, other = two_runs({"load": in_bfloat16})
    assert first(compare(one, other), "load").note == "dtype float32 ↔ bfloat16"
    path = other.directory / "manifest.json"
    path.write_text(
        path.read_text().replace(
            '"dtype": "float32",\n   "role": "candidate"', '"dtype": "bfloat16",\n   "role": "candidate"'
        )
    )
    named = replace(one, who=WHO), replace(other, who=SubjectSelector("hf-torch", dtype="bfloat16"))
    assert first(compare(*named, ["load"]), "load") is None


def test_a_number_without_a_tolerance_is_told(two_runs):
    from parity.tools.compare.render import summary

    def moved(trace):
        trace.arrays["sequences_scores"] = trace.arrays["sequences_scores"] * 1.001
        return trace

    one, other = two_runs({"generate.beams": moved})
    (found,) = compare(one, other, ["generate.beams"]).cases
    assert found.first is None and "1 other numbers without a tolerance" in summary(found)


def test_an_answer_that_is_missing_is_said(two_runs):
    one, other = two_runs({"loss": lambda trace: None})
    assert compare(one, other, ["*"]).one_sided == ["bart-odd: altered has no trace of loss from hf-torch"]


def test_other_inputs_other_names_and_nothing_in_common_are_one_line(two_runs, capsys):
    one, other = two_runs({})
    with pytest.raises(CompareError, match="nonsense: no such case; there are the cases load, "):
        compare(one, other, ["nonsense"])
    with pytest.raises(CompareError, match="no such subject ran bart-odd; there are hf-torch:float32:cpu"):
        compare(replace(one, who=SubjectSelector("hf-tf")), other)
    path = other.directory / "manifest.json"
    data = json.loads(path.read_text())
    (asked,) = (case for case in data["cases"]["bart-odd"] if case["name"] == "forward")
    asked["inputs"]["input_ids"][0][0] += 1
    path.write_text(json.dumps(data))
    assert run(["compare", str(one.directory), str(other.directory)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "forward has different inputs" in line
    data["checkpoints"] *= 2
    path.write_text(json.dumps(data).replace('"bart-odd"', '"another"'))
    assert run(["compare", str(one.directory), str(other.directory)]) == 2
    assert "runs of different checkpoints: the first has the checkpoint bart-odd, the second" in capsys.readouterr().err


def test_the_command_shows_tensors_in_data_flow_order(two_runs, capsys):
    one, other = two_runs({"forward": scaled("decoder.hidden.1", 1.01)})
    assert run(["compare", str(one.directory), str(other.directory)]) == 1
    out = capsys.readouterr().out
    names = [line.split()[0] for line in out.splitlines() if line.startswith(("encoder.", "decoder.", "logits"))]
    assert names.index("encoder.hidden.0") < names.index("decoder.hidden.1") < names.index("logits")
    assert "← first" in next(line for line in out.splitlines() if line.startswith("decoder.hidden.1"))
    assert run(["compare", f"{one.directory}::hf-torch", f"{one.directory}::hf-torch"]) == 0


def test_two_runs_that_were_judged_are_compared_by_their_verdicts_too(two_runs, capsys):
    one, other = two_runs({"forward": scaled("decoder.hidden.1", 1.01)})
    for side in (one, other):
        run(["judge", str(side.directory)])
    capsys.readouterr()
    assert run(["compare", str(one.directory), str(other.directory)]) == 1
    out = capsys.readouterr().out
    assert any(line.startswith("worse") and "NUM01" in line and "pass → fail" in line for line in out.splitlines())
    assert "verdicts not the same" in out


def test_what_one_run_alone_was_asked_is_named_and_no_verdict_that_changed(two_runs, capsys):
    """A run of fewer checkpoints, subjects or cases is compared by what is in both."""
    one, other = two_runs({})
    run(["judge", str(one.directory)])
    path = other.directory / "manifest.json"
    data = json.loads(path.read_text())
    data["subjects"].append({**data["subjects"][-1], "variant": "sdpa", "label": "hf-torch/sdpa"})
    path.write_text(json.dumps(data))
    run(["judge", str(other.directory)])
    capsys.readouterr()
    found = compare(one, other)
    assert not found.changes and found.one_sided == ["only altered: hf-torch/sdpa on bart-odd"]
    assert found.shared == ["both: hf-torch on bart-odd, 2 cases"]
    data["checkpoints"].append({**data["checkpoints"][0], "name": "another"})
    data["cases"]["another"] = data["cases"]["bart-odd"]
    path.write_text(json.dumps(data))
    assert "only altered: the checkpoint another" in compare(one, other).one_sided


def renamed_to_tf(directory) -> None:
    """The run as if ``hf-tf`` had been its only backend."""
    path = directory / "manifest.json"
    data = json.loads(path.read_text())
    for subject in data["subjects"]:
        if subject["role"] == "candidate":
            subject.update(backend="hf-tf", label="hf-tf")
    path.write_text(json.dumps(data))


def test_runs_of_different_backends_are_described_by_what_each_has(two_runs, capsys):
    one, other = two_runs({})
    renamed_to_tf(other.directory)
    found = compare(one, other)
    assert found.shared == ["both: no backend on bart-odd, 2 cases"]
    assert found.one_sided == ["only conforming: hf-torch on bart-odd", "only altered: hf-tf on bart-odd"]
    assert not found.cases and not found.same and found.exit_code == 2
    assert repr(found) == "<Comparison conforming ↔ altered: 0 cases, 0 differ>"
    assert run(["compare", str(one.directory), str(other.directory)]) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert "only " in out and "hf-torch on bart-odd" in out and "as in A::hf-torch B::hf-tf" in out
    named = compare(replace(one, who=WHO), replace(other, who=SubjectSelector("hf-tf")))
    assert named.same and len(named.cases) == 2 and not named.one_sided


def test_runs_of_different_cases_are_compared_by_those_that_both_have(two_runs):
    one, other = two_runs({"forward": scaled("decoder.hidden.1", 1.01)})
    path = other.directory / "manifest.json"
    data = json.loads(path.read_text())
    left_out = ("loss", "gradients")
    data["cases"]["bart-odd"] = [case for case in data["cases"]["bart-odd"] if case["name"] not in left_out]
    path.write_text(json.dumps(data))
    found = compare(one, other, ["load", "forward", "loss", "gradients"])
    assert found.shared == ["both: hf-torch on bart-odd, 2 cases"]
    assert found.one_sided == ["only conforming: the cases loss, gradients on bart-odd"]
    assert found.exit_code == 1 and [each.case for each in found.differing] == ["forward"]
    assert repr(found).endswith(": 2 cases, 1 differs; first decoder.hidden.1 in bart-odd · forward>")
    assert not compare(one, other, ["load"]).one_sided


def test_derived_cases_with_different_inputs_are_named_and_left_out(two_runs):
    """Other backends write other texts, and the cases that are made from these have other inputs."""
    one, other = two_runs({})
    path = other.directory / "manifest.json"
    data = json.loads(path.read_text())
    derived = [case for case in data["cases"]["bart-odd"] if "of" in case["notes"]]
    derived[0]["settings"]["a"] = 1
    path.write_text(json.dumps(data))
    found = compare(one, other, ["*"])
    assert found.one_sided == [f"not compared, the inputs differ: the case {derived[0]['name']} on bart-odd"]
    assert found.same and derived[0]["name"] not in {each.case for each in found.cases}


def test_runs_judged_by_different_checks_name_them_and_count_no_verdict_as_changed(two_runs):
    one, other = two_runs({})
    run(["judge", str(one.directory), "--check", "NUM01", "--check", "PAD01"])
    run(["judge", str(other.directory), "--check", "NUM01"])
    found = compare(one, other)
    assert found.one_sided == ["only conforming: the check PAD01"] and not found.changes and found.same


@pytest.mark.parametrize("text", ["x::", "x::hf-torch:a:b:c", "x::@main"])
def test_a_side_that_is_not_so_spelled_is_one_line(text, capsys):
    assert run(["compare", text, text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a side is WHAT::BACKEND" in line


def test_a_report_without_its_traces_is_one_line(tmp_path, capsys):
    (tmp_path / "report.json").write_text("{}")
    for side in (tmp_path, tmp_path / "report.json"):
        assert run(["compare", str(side), str(side)]) == 2
        assert "no run's directory" in capsys.readouterr().err


def test_who_is_parsed():
    assert SubjectSelector.parse("hf-torch/sdpa@docs-4.37:bfloat16:cuda") == SubjectSelector(
        "hf-torch", "sdpa", "docs-4.37", "bfloat16", "cuda"
    )
    assert SubjectSelector.parse("hf-tf") == SubjectSelector("hf-tf", "eager", "main", "float32", "cpu")
