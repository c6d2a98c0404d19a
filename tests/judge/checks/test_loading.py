"""A file in another class of its family, and a frozen feature encoder: what passes, and what each fault is called."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.case import Case
from parity.core.records import SubjectRecord
from parity.core.resources import fixture
from parity.core.trace import Raised, Trace
from parity.judge.judge import judge
from reference.names import table_of
from tests.judge.sample_runs import write_facts

OTHER = "BartForQuestionAnswering"
HEAD, KERNEL, SHARED = "qa_outputs.weight", "model.decoder.layers.0.fc1.weight", "model.shared.weight"
CONVOLUTION, PROJECTION = "encoder.feature_extractor.conv_layers.0.conv.weight", "decoder.cls.predictions.bias"


def _subject(checkpoint, backend, role, words=()):
    return SubjectRecord(
        backend=backend,
        variant="eager",
        stack="main",
        device="cpu",
        dtype="float32",
        label=backend,
        role=role,
        model_class=checkpoint.model_class,
        documented_class=checkpoint.model_class,
        environment="main",
        families=list(checkpoint.model_spec.model_types),
        capabilities=["load", "cpu", "float32", *words],
    )


def _judged(folder, checkpoint, check, case, words, answers):
    subjects = [_subject(checkpoint, "file", "file"), _subject(checkpoint, "hf-torch", "candidate", words)]
    cases = [Case("load", "load"), *([case] if isinstance(case, Case) else case)]
    write_facts(folder, checkpoint, subjects, cases, answers)
    (verdict,) = judge(folder, checks=[check]).verdicts
    return verdict


@pytest.fixture
def loaded_as(tmp_path):
    """The verdict on bart-odd's file, loaded by the class for questions, altered by ``alter``."""
    checkpoint = inspect_checkpoint(fixture("bart-odd"))
    stored = {row.name: {"digest": f"{place:032x}"} for place, row in enumerate(checkpoint.model_spec.table.rows)}

    def run(alter=lambda facts, rows: None):
        names = [row.name for row in table_of(checkpoint.model_spec.config, OTHER).rows]
        facts = {
            "parameters": {
                name: copy.deepcopy(stored.get(name, {"digest": "f" * 32, "non_finite": 0})) for name in names
            },
            "report": {"missing": ["qa_outputs.weight", "qa_outputs.bias"], "not_materialised": []},
        }
        rows = {f"rows.{name}": np.ones(2, np.uint64) for name in names}
        alter(facts, rows)
        case = Case(f"load-as.{OTHER}", "load_as", settings={"model_class": OTHER}, requires=("load", f"as_{OTHER}"))
        answers = {(0, "load"): Trace(facts={"parameters": stored}), (1, case.name): Trace(rows, facts)}
        return _judged(tmp_path, checkpoint, "LOAD05", case, [f"as_{OTHER}"], answers)

    return run


def test_a_head_that_is_made_up_and_named_passes(loaded_as):
    assert loaded_as().status == "pass"


def test_what_begins_with_zeros_is_not_made_up(loaded_as):
    def silent_zeros(facts, rows):
        facts["report"]["missing"] = ["qa_outputs.weight"]
        rows["rows.qa_outputs.bias"][:] = 0

    assert loaded_as(silent_zeros).status == "pass"


@pytest.mark.parametrize(("said", "status"), [("qa_outputs", "pass"), ("qa_out", "fail"), ("model", "fail")])
def test_a_layer_that_is_named_names_its_weights(loaded_as, said, status):
    assert loaded_as(lambda facts, rows: facts["report"].update(missing=[said])).status == status


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda facts, rows: facts["parameters"].pop(KERNEL), KERNEL),
        (lambda facts, rows: facts["parameters"][KERNEL].update(digest="0"), KERNEL),
        (lambda facts, rows: facts["report"]["missing"].remove(HEAD), HEAD),
        (lambda facts, rows: facts["report"]["missing"].append(KERNEL), KERNEL),
        (lambda facts, rows: facts["report"]["not_materialised"].append(HEAD), HEAD),
    ],
    ids=["lost", "another", "silent", "not-found", "meta"],
)
def test_a_fault_of_another_class_is_named(loaded_as, alter, named):
    verdict = loaded_as(alter)
    assert verdict.status == "fail" and named in verdict.evidence["tensors"], verdict.reason


@pytest.fixture
def frozen(tmp_path):
    """The verdict on a speech model of which these parameters have gradients, unfrozen and frozen."""
    checkpoint = inspect_checkpoint(fixture("wav2vec2-bert"))

    def run(free, moved):
        cases = [Case("gradients", "gradients"), Case("frozen-gradients", "frozen_gradients", requires=("freeze",))]
        gradients = {f"gradient.{name}": np.ones(2, np.float32) for name in free}
        answers = {
            (0, "load"): Trace(facts={"parameters": {}}),
            (1, "gradients"): Trace({"loss": np.ones((), np.float32), **gradients}),
            (1, "frozen-gradients"): Trace(facts={"moved": moved}),
        }
        return _judged(tmp_path, checkpoint, "DOC06", cases, ["freeze", "gradients"], answers)

    return run


def test_a_frozen_feature_encoder_passes(frozen):
    assert frozen([CONVOLUTION, PROJECTION], [PROJECTION]).status == "pass"


@pytest.mark.parametrize(
    ("free", "moved", "named"),
    [
        ([CONVOLUTION, PROJECTION], [CONVOLUTION, PROJECTION], CONVOLUTION),
        ([CONVOLUTION, PROJECTION], [], PROJECTION),
        ([PROJECTION], [PROJECTION], "gradients"),
    ],
    ids=["not-frozen", "frozen-too", "nothing-to-freeze"],
)
def test_a_fault_of_freezing_is_named(frozen, free, moved, named):
    verdict = frozen(free, moved)
    assert verdict.status == "fail" and named in verdict.evidence["tensors"], verdict.reason


def test_a_plain_load_without_values_is_told_by_that_and_not_by_what_met_it_first(tmp_path):
    """transformers 4.57.6 leaves what Flax or TensorFlow saved on the meta device, and its first call raises."""
    checkpoint = inspect_checkpoint(fixture("bart-odd"))
    absent = {"parameters": {}, "report": {"not_materialised": [KERNEL, HEAD]}}
    raised = Raised("RuntimeError", "Tensor.item() cannot be called on meta tensors", "torch/x.py:1 in f")
    case = Case("plain-load", "plain_load", requires=("plain_load",))
    answers = {
        (0, "load"): Trace(facts={"parameters": {}}),
        (1, "load"): Trace(facts=absent),
        (1, case.name): Trace(raised=raised),
    }
    verdict = _judged(tmp_path, checkpoint, "DOC07", case, ["plain_load"], answers)
    assert verdict.status == "fail" and verdict.reason.startswith("2 parameters are on a meta device")
