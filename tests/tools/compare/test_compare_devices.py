"""Comparing what two devices, or two dtypes, answered: whole runs without a name, and one subject by its name.

No CUDA device is needed: a run's record says where it was captured, and a comparison reads that and the traces alone.
The last test asks a real device, where there is one.
"""

from __future__ import annotations

import json
import shutil

import pytest

from parity import api
from parity.cli.main import run
from parity.core.resources import fixture
from parity.tools.compare.compare import compare
from parity.tools.compare.selector import Operand, SubjectSelector
from tests.tools.compare.test_compare import first, scaled


def relabelled(directory, **words: str) -> None:
    """The run as if everyone but the oracle and the file had answered elsewhere."""
    path = directory / "manifest.json"
    data = json.loads(path.read_text())
    for subject in data["subjects"]:
        if subject["role"] in ("candidate", "noise_floor"):
            subject.update(words)
    path.write_text(json.dumps(data))


@pytest.fixture
def on_two_devices(two_runs):
    """A conforming run on the CPU, and one on ``cuda`` with a trace of the candidate's altered."""

    def make(alter: dict):
        original, altered = two_runs(alter)
        relabelled(altered.directory, device="cuda")
        return original, altered

    return make


def test_runs_of_two_devices_are_paired_by_what_is_alike_else(on_two_devices):
    one, other = on_two_devices({})
    found = compare(one, other, ["*"])
    assert found.same and len(found.cases) > 20
    assert {each.subjects for each in found.cases} == {("hf-torch cpu float32", "hf-torch cuda float32")}


def test_what_differs_on_the_other_device_is_found_with_tolerances_of_both(on_two_devices):
    wrong = {"forward": lambda trace: scaled("logits", 1.01)(scaled("decoder.hidden.1", 1.01)(trace))}
    one, other = on_two_devices(wrong)
    row = first(compare(one, other), "forward")
    assert row.name == "decoder.hidden.1" and row.share > 100
    named = (
        Operand("cpu", one.directory, SubjectSelector("hf-torch")),
        Operand("cuda", other.directory, SubjectSelector("hf-torch", device="cuda")),
    )
    assert first(compare(*named), "forward") == row


def test_conforming_answers_that_are_not_the_same_bits_are_within_both_tolerances(on_two_devices):
    one, other = on_two_devices({"forward": scaled("decoder.hidden.1", 1 + 1e-7)})
    found = compare(one, other)
    assert found.same
    (row,) = (r for each in found.cases if each.case == "forward" for r in each.rows if r.name == "decoder.hidden.1")
    assert 0 < row.share < 1


def test_a_noise_floor_that_was_not_measured_on_the_device_is_no_tolerance(on_two_devices):
    """Errors on a CPU say nothing of what is conforming elsewhere."""
    one, other = on_two_devices({"forward": scaled("decoder.hidden.1", 1.01)})
    path = other.directory / "manifest.json"
    data = json.loads(path.read_text())
    for subject in data["subjects"]:
        if subject["role"] == "noise_floor":
            subject["device"] = "cpu"
    path.write_text(json.dumps(data))
    (found,) = (each for each in compare(one, other).cases if each.case == "forward")
    assert found.first is None and sum(row.unjudged for row in found.rows) == 1


def test_the_command_says_who_answered_where_and_counts_no_verdict_as_changed(on_two_devices, capsys):
    """The cells of another device are other cells."""
    one, other = on_two_devices({"forward": scaled("decoder.hidden.1", 1.01)})
    for side in (one, other):
        run(["judge", str(side.directory)])
    capsys.readouterr()
    assert run(["compare", str(one.directory), str(other.directory)]) == 1
    out = capsys.readouterr().out
    assert "hf-torch cpu float32 ↔ hf-torch cuda float32" in out and "decoder.hidden.1" in out
    assert "vanished" not in out and "verdicts not the same" not in out


def test_runs_of_two_dtypes_are_paired_too(run_directory, tmp_path):
    original = run_directory()
    shutil.copytree(original, tmp_path / "other")
    relabelled(tmp_path / "other", dtype="bfloat16")
    found = compare(Operand("float32", original, None), Operand("bfloat16", tmp_path / "other", None))
    assert {each.subjects for each in found.cases} == {("hf-torch cpu float32", "hf-torch cpu bfloat16")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("bf16", "no dtype is called bf16; did you mean bfloat16? (there are float64, float32, bfloat16, float16)"),
        ("float32:tpu", "no device is called tpu; did you mean cpu?"),
    ],
)
def test_a_dtype_or_device_that_nobody_has_is_one_line_before_anything_is_captured(words, told, capsys):
    assert run(["compare", f"{fixture('bart-odd')}::hf-torch", f"{fixture('bart-odd')}::hf-torch:{words}"]) == 2
    assert capsys.readouterr().err == f"parity: {told}\n"


@pytest.mark.cuda
@pytest.mark.parametrize("backend", ["reference-torch", "hf-torch"])
def test_a_device_computes_what_the_cpu_does(backend, tmp_path):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: torch sees none")
    side = f"{fixture('bart-odd')}::{backend}"
    found = api.compare(side, f"{side}:float32:cuda", cache=tmp_path)
    assert found.same and {each.case for each in found.cases} == {"load", "forward"}
    assert {each.subjects for each in found.cases} == {(f"{backend} cpu float32", f"{backend} cuda float32")}
    (forward,) = (each for each in found.cases if each.case == "forward")
    assert all(row.share is not None for row in forward.rows)
