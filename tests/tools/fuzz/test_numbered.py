"""A slice of the numbered examples, in which no conforming backend may fail, and what is kept of all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parity.judge.undefined_behaviour import PADDING_WRITTEN
from parity.tools.fuzz.__main__ import PAIR, numbered, numbers, search, summary, together
from parity.tools.fuzz.command import plan_of, process_of
from parity.tools.fuzz.example import AUDITED
from parity.tools.fuzz.executor import is_alarm
from parity.tools.fuzz.script import LINES, lines_of
from parity.tools.fuzz.search import judge_example

REPORTS = Path(__file__).resolve().parents[3] / "reports"
SCRIPTS = sorted((REPORTS / "fuzz").glob("*.py"))


def test_a_number_is_an_example_and_another_another():
    assert numbered(("bart", 0, 3)) == numbered(("bart", 0, 3)) != numbered(("bart", 0, 4))
    assert numbered(("bart", 0, 3)).config == numbered(("bart", 0, 4)).config != numbered(("bart", 1, 4)).config
    assert len(set(numbers(AUDITED, 2, 32))) == 2 * 32 * len(AUDITED)


@pytest.mark.full
def test_the_references_agree_on_a_slice(tmp_path):
    """A shape whose compilation its draws share; a search that is ended goes on where it stopped."""
    plan, parts = plan_of(PAIR), tmp_path / "parts.jsonl"
    process = process_of(plan, tmp_path)
    todo = list(numbers(["bart-bare"], 1, 3))
    search(todo[:1], process, plan, parts)
    search(todo[1:], process, plan, parts)
    found = together(parts)
    assert (found["examples"], found["distinct"], found["shapes"]) == (3, 3, 1)
    assert found["alarms"] == [] and found["totals"]["pass"] > 200
    assert 0.0 < found["families"]["bart-bare"]["nearest"] < 1.0


@pytest.mark.full
def test_one_key_alone_is_no_alarm(tmp_path):
    """A text of one token: nothing is left of the gradients of queries and keys, and hardly anything of its minuend."""
    plan = plan_of(PAIR)
    process = process_of(plan, tmp_path)
    example = numbered(("wav2vec2bart", 1, 20))
    assert example.lengths == ((5, 1),)
    run, verdicts = judge_example(process, plan, example)
    assert not [verdict for verdict in verdicts if is_alarm(verdict)]
    name = "gradient.decoder.model.decoder.layers.0.self_attn.k_proj.weight"
    oracle = run.oracle("gradients")
    assert not oracle.arrays[name].any() and oracle.facts["minuends"][name] < oracle.facts["minuend_terms"][name] / 10


def test_a_text_in_which_a_roberta_writes_padding_is_not_judged(process, library):
    _, verdicts = judge_example(process, library, numbered(("roberta2roberta", 0, 28)))
    texts = [verdict for verdict in verdicts if verdict.case == "generate.greedy"]
    assert texts and all(verdict.reason == PADDING_WRITTEN for verdict in texts)
    assert not [verdict for verdict in verdicts if is_alarm(verdict)]


def test_an_alarm_is_kept_with_its_number(process, library, tmp_path):
    _, verdicts = judge_example(process, library, numbered(("bart-bare", 0, 0)))
    failed = [verdict.model_copy(update={"status": "fail", "reason": "as if"}) for verdict in verdicts[:1]]
    row = {"number": ["bart-bare", 0, 0], **summary([*failed, *verdicts[1:]]), "seconds": 1.0}
    (tmp_path / "parts.jsonl").write_text(json.dumps(row) + "\n")
    (alarm,) = together(tmp_path / "parts.jsonl")["alarms"]
    assert (alarm["number"], alarm["check"], alarm["reason"]) == (["bart-bare", 0, 0], verdicts[0].check, "as if")


@pytest.mark.parametrize("parts", sorted((REPORTS / "fuzz").glob("*.jsonl")), ids=lambda path: path.stem)
def test_what_is_kept_of_a_run_is_its_sum_and_no_alarm(parts):
    kept = json.loads(parts.with_suffix(".json").read_text(encoding="utf-8"))
    found = json.loads(json.dumps(together(parts)))
    assert {name: kept[name] for name in found} == found
    assert found["alarms"] == [] and found["distinct"] == found["examples"] > 0


@pytest.mark.full
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_kept_script_is_short_and_still_shows_its_divergence(script):
    text = script.read_text(encoding="utf-8")
    assert lines_of(text) <= LINES and "import parity" not in text
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "and should be" in done.stdout, done.stderr
