"""A load without arguments: what its version documents passes, and what another version made of it is said with how far
the answers move."""

from __future__ import annotations

from typing import Any

import pytest

from parity.cases.documented_api import documented_cases
from parity.checkpoint.facts import _dtype
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.records import FileFacts, Manifest, WeightFacts, read_record, write_record
from parity.core.resources import fixture
from parity.core.trace import Trace
from parity.judge.judge import judge
from tests.judge.sample_runs import CANDIDATE, SUBJECTS, _subject_record, write_facts

STACKS = {"main": "4.57.6", "current": "5.23.0", "docs-4.37": "4.37.2"}
AS_DOCUMENTED = {"dtypes": {"float32": 92}, "devices": {"cpu": 92}, "attention": "sdpa", "training": False}
HALF = {**AS_DOCUMENTED, "dtypes": {"float16": 92}}


@pytest.fixture(scope="module")
def checkpoint():
    return inspect_checkpoint(fixture("bart-odd"))


@pytest.fixture
def judged(tmp_path, checkpoint, cases, ask):
    """Status and reason of DOC07, by stack, of a run in which each stack's plain load gave these facts.

    A stack's answer is the oracle's, moved by ``moved`` of its scale.
    """
    forward = cases["forward"]
    (plain,) = (case for case in documented_cases(checkpoint.model_spec, [forward]) if case.name == "plain-load")
    original = {(index, "forward"): ask(index, forward) for index in range(CANDIDATE) if SUBJECTS[index].role != "file"}

    def run(loads: dict[str, dict[str, Any]], moved: dict[str, float] | None = None, **facts: Any):
        subjects = [_subject_record(subject) for subject in SUBJECTS[:CANDIDATE]]
        answers, logits = dict(original), original[0, "forward"].arrays["logits"]
        for stack, said in loads.items():
            arrays = {"logits": logits + (moved or {}).get(stack, 0.0) * logits.std()}
            answers[len(subjects), "plain-load"] = Trace(arrays, dict(said))
            told = {"stack": stack, "environment": stack, "label": f"hf-torch@{stack}"}
            told["capabilities"] = ["load", "plain_load", "cpu", "float32"]
            subjects.append(_subject_record(SUBJECTS[CANDIDATE]).model_copy(update=told))
        write_facts(tmp_path, checkpoint, subjects, [forward, plain], answers)
        manifest = read_record(Manifest, tmp_path / "manifest.json")
        versions = {stack: {"versions": {"transformers": version}} for stack, version in STACKS.items()}
        record = manifest.checkpoints[0].model_copy(update={"file_facts": FileFacts(**facts)})
        changed = {"environments": versions, "checkpoints": [record]}
        write_record(manifest.model_copy(update=changed), tmp_path / "manifest.json")
        return {
            verdict.stack: (verdict.status, verdict.reason) for verdict in judge(tmp_path, checks=["DOC07"]).verdicts
        }

    return run


def test_versions_that_load_alike_pass(judged):
    found = judged(dict.fromkeys(STACKS, AS_DOCUMENTED), dtype="float32")
    assert {stack: status for stack, (status, _) in found.items()} == dict.fromkeys(STACKS, "pass")


def test_half_precision_in_another_attention_is_told_as_half_precision_alone(judged):
    loads = {"docs-4.37": {**AS_DOCUMENTED, "attention": "eager"}, "current": HALF}
    assert judged(loads, {"current": 1e-3}, dtype="float16")["current"][0] == "known"


def test_one_version_alone_is_held_against_its_own_documents(judged):
    assert judged({"current": HALF}, dtype="float16")["current"][0] == "pass"


def test_a_half_checkpoint_that_the_newer_version_keeps_is_known_and_says_how_far_answers_move(judged):
    found = judged({"main": AS_DOCUMENTED, "current": HALF}, {"current": 1e-3}, dtype="float16")
    assert found["main"][0] == "pass" and found["current"][0] == "known"
    words = found["current"][1]
    assert "dtype is float16, and float32 in hf-torch@main (transformers 4.57.6)" in words
    assert "of logits against the oracle: 0.00" in words and "tolerance in float32" in words


@pytest.mark.parametrize(
    ("stack", "said", "facts", "words"),
    [
        ("current", HALF, {"dtype": "float32"}, "5.23.0 documents float32"),
        ("main", HALF, {"dtype": "float16"}, "4.57.6 documents float32"),
        ("current", AS_DOCUMENTED, {"dtype": "bfloat16"}, "5.23.0 documents bfloat16"),
        ("main", {**AS_DOCUMENTED, "devices": {"cuda:0": 92}}, {}, "the model is on cuda:0"),
        ("main", {**AS_DOCUMENTED, "dtypes": {"float32": 91, "float16": 1}}, {}, "float16 and float32"),
        ("docs-4.37", {**AS_DOCUMENTED, "training": True}, {}, "the model is in training mode"),
    ],
)
def test_what_a_version_does_not_document_fails(judged, stack, said, facts, words):
    status, reason = judged({stack: said}, **facts)[stack]
    assert status == "fail" and words in reason


def test_another_dtype_than_the_file_s_is_not_excused(judged):
    other = {**AS_DOCUMENTED, "dtypes": {"bfloat16": 92}}
    status, reason = judged({"main": AS_DOCUMENTED, "current": other}, dtype="float16")["current"]
    assert status == "fail" and "documents float16" in reason


def test_another_attention_is_a_finding_only_where_answers_move(judged):
    eager = {**AS_DOCUMENTED, "attention": "eager"}
    loads = {"docs-4.37": eager, "main": AS_DOCUMENTED}
    assert judged(loads, dtype="float32")["main"][0] == "pass"
    # That the older version's answers are wrong is no fault of the newer one's.
    assert judged(loads, {"docs-4.37": 0.4}, dtype="float32")["main"][0] == "pass"


def test_another_attention_whose_answers_move_fails(judged):
    eager = {**AS_DOCUMENTED, "attention": "eager"}
    status, reason = judged({"docs-4.37": eager, "main": AS_DOCUMENTED}, {"main": 0.01}, dtype="float32")["main"]
    assert status == "fail" and "attention is sdpa, and eager in hf-torch@docs-4.37" in reason


@pytest.mark.parametrize(
    ("raw", "stored", "dtype"),
    [
        ({}, ["float16"], "float16"),
        ({"torch_dtype": "bfloat16"}, ["float32"], "bfloat16"),
        ({"dtype": "float32"}, ["float16"], "float32"),
        ({}, ["float16", "float32"], None),
        ({}, ["float32", "int64"], "float32"),
        ({"torch_dtype": "torch.float16"}, ["float32"], "float16"),
    ],
)
def test_the_config_says_more_than_the_weights(raw, stored, dtype):
    assert _dtype(raw, [WeightFacts(format="safetensors", framework="pt", dtypes=stored)]) == dtype
