"""A search finds what is broken, makes it small, keeps it, and shows it without this project; else it finds nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from parity.cli.main import run
from parity.core.subject import Subject
from parity.tools.fuzz import search as searching
from parity.tools.fuzz.command import keep
from parity.tools.fuzz.example import drawn
from parity.tools.fuzz.executor import Plan, is_alarm
from parity.tools.fuzz.script import LINES, NoScript, lines_of, script
from parity.tools.fuzz.search import Search, judge_example

FAULTS = {"cache-written-one-early": "CACHE01", "padding-row-zero": "NUM01", "beams-not-reordered": "CACHE06"}
"""Faults of other kinds, and a check that sees each in a few examples."""


def candidate(mutant: str) -> Plan:
    return Plan((Subject("mutant", f"eager+mutant-{mutant}"),))


@pytest.mark.full
def test_a_fault_is_shrunk_to_a_model_of_one_layer_and_a_batch_of_one_row(process, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "SHRINKING", 15.0)
    found = Search(process, candidate("epsilon-1e-6"), ["bart"], keep=lambda f: keep(f, tmp_path)).run(failures=1)
    (failure,) = found.failures
    config = failure.example.config
    assert (failure.verdict.check, failure.verdict.status) == ("NUM01", "fail")
    assert (config["encoder_layers"], config["decoder_layers"], len(failure.example.lengths)) == (1, 1, 1)
    assert failure.no_script == "mutant is no library of its own"
    stored = json.loads((tmp_path / "NUM01-mutant-eager-mutant-epsilon-1e-6-bart.json").read_text())
    assert stored["example"]["config"] == config


@pytest.mark.parametrize(
    "fault", ["cache-written-one-early", *(pytest.param(name, marks=pytest.mark.full) for name in [*FAULTS][1:])]
)
def test_faults_of_other_kinds_are_found(fault, process):
    plan, seen, number = candidate(fault), set(), 0
    while FAULTS[fault] not in seen and number < 4:
        choices = np.random.default_rng([3, number])
        _, verdicts = judge_example(process, plan, drawn(choices, choices, "bart"))
        seen |= {verdict.check for verdict in verdicts if is_alarm(verdict)}
        number += 1
    assert FAULTS[fault] in seen


@pytest.mark.full
def test_a_known_divergence_becomes_a_script_that_needs_the_library_alone(process, tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "SHRINKING", 3.0)
    plan = Plan((Subject("hf-torch", "sdpa"),))
    found = Search(process, plan, ["bart"], known="hf-torch-sdpa-ignores-head-masks").run(failures=1)
    text = script(found.failures[0])
    assert lines_of(text) <= LINES and "import parity" not in text and "reference" not in text
    for attention, code in (("sdpa", 1), ("eager", 0)):
        path = tmp_path / f"{attention}.py"
        path.write_text(text.replace('attn_implementation="sdpa"', f'attn_implementation="{attention}"'))
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == code and "and should be" in done.stdout, done.stderr


def test_no_script_is_written_of_a_failure_of_our_own(process, library):
    choices = np.random.default_rng(0)
    example = drawn(choices, choices, "bart-bare")
    live, verdicts = judge_example(process, library, example)
    ours = verdicts[0].model_copy(update={"status": "error", "backend": "hf-torch"})
    with pytest.raises(NoScript, match="ours"):
        script(searching.Failure(example, ours, live))


def test_without_hypothesis_what_to_install_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run(["fuzz", "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("is not installed: pip install 'encdec-parity[fuzz]'") and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--family", "bert3"], "--family bert3: no such family; there are bart,"),
        (["--backend", "hf-none"], "--backend hf-none: no backend is named hf-none"),
        (["--backend", "hf-config"], "--backend hf-config loads no model"),
        (["--backend", "hf-torch/fused"], "--backend hf-torch/fused: its variants are eager, sdpa"),
        (["--treat-as-failure", "nothing"], "--treat-as-failure nothing: the list of known issues has no such entry"),
        (["--replay", "none.json"], "none.json: no such file"),
    ],
)
def test_bad_input_is_one_line_and_2(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["fuzz", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_a_file_that_is_no_stored_failure_is_one_line_and_2(tmp_path, capsys):
    (tmp_path / "some.json").write_text("{}")
    assert run(["fuzz", "--replay", str(tmp_path / "some.json")]) == 2
    assert "some.json: no failure that `parity fuzz` stored" in capsys.readouterr().err
