"""Claims about documented behaviour: they pass where a class does what its page says, and name what it does not."""

from __future__ import annotations

import copy
import json

import pytest

from parity.cases.documented_api import documented_calls, documented_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.case import Case
from parity.core.records import SubjectRecord
from parity.core.resources import fixture
from parity.core.trace import Trace
from parity.judge.checks import CHECKS
from parity.judge.judge import judge
from tests.judge.sample_runs import write_facts

CLASSES = {
    "hf-torch": "EncoderDecoderModel",
    "hf-tf": "TFEncoderDecoderModel",
    "hf-flax": "FlaxEncoderDecoderModel",
}
DEFAULTS = {"": None, "True": True, "False": False}
ELSEWHERE = {"DOC05", "DOC06", "DOC07"}
"""The golden catalogue, of published checkpoints (tests/tools/examples/test_catalogue.py); speech models
(test_loading); loads without arguments (test_plain_load)."""
IDS = {check.id for check in CHECKS.values() if check.group == "documented"} - ELSEWHERE


def signatures(model_class):
    """A class that takes what is documented, and one argument more behind it."""
    found = {}
    for method, arguments in documented_calls()[model_class].items():
        if method != "source":
            split = [(*argument.removesuffix("!").partition("="), argument.endswith("!")) for argument in arguments]
            found[method] = [[name, DEFAULTS[default], must] for name, _, default, must in split]
            found[method].append(["cache_position", None, False])
    return found


@pytest.fixture(scope="module")
def checkpoint():
    return inspect_checkpoint(fixture("bert2bert"))


@pytest.fixture
def judged(tmp_path, checkpoint):
    """Verdicts by check of a run on bert2bert in which one backend answers, altered by ``alter`` in one case."""

    def run(backend="hf-torch", at=None, alter=None):
        stored = {row.name: {"digest": f"{place:032x}"} for place, row in enumerate(checkpoint.model_spec.table.rows)}
        report = {"training": False if backend == "hf-torch" else None, "route": "from_pt=True"}
        flags = {"is_decoder": True, "add_cross_attention": True, "evaluates": True}
        answers = {
            "load": {"report": report, "parameters": copy.deepcopy(stored)},
            "signature": {"signatures": signatures(CLASSES[backend])},
            "compose": {"parameters": copy.deepcopy(stored), "flags": flags, "training": report["training"]},
            "route": {"route": "plain"},
        }
        if at is not None:
            alter(answers[at])
        cases = [Case("load", "load"), *documented_cases(checkpoint.model_spec)]
        subjects = [_subject("file", "file", checkpoint), _subject(backend, "candidate", checkpoint)]
        everything = {(0, "load"): {"parameters": stored}, **{(1, name): facts for name, facts in answers.items()}}
        traces = {key: Trace(facts=json.loads(json.dumps(facts))) for key, facts in everything.items()}
        write_facts(tmp_path, checkpoint, subjects, cases, traces)
        return {verdict.check: verdict for verdict in judge(tmp_path, checks=["documented"]).verdicts}

    return run


def _subject(backend, role, checkpoint):
    modes = ["modes"] if backend == "hf-torch" else []
    return SubjectRecord(
        backend=backend,
        variant="eager",
        stack="main",
        device="cpu",
        dtype="float32",
        label=backend,
        role=role,
        model_class=CLASSES.get(backend, ""),
        documented_class=checkpoint.model_class,
        environment="main",
        families=list(checkpoint.model_spec.model_types),
        capabilities=["load", "signature", "compose", "cpu", "float32", *modes],
        lacking={"modes": "the call takes it"},
    )


@pytest.mark.parametrize("backend", CLASSES)
def test_a_class_that_does_as_documented_passes(judged, backend):
    found = judged(backend)
    asked = IDS if backend == "hf-tf" else IDS - {"DOC04"}
    assert set(found) == asked
    skipped = set() if backend == "hf-torch" else {"DOC02"}
    assert {check for check, verdict in found.items() if verdict.status != "pass"} == skipped


def moved(facts):
    """An argument dropped in front, so that all behind it moved forward."""
    del facts["signatures"]["forward"][2]


def other_default(facts):
    facts["signatures"]["call"][-2][1] = True


def lost_method(facts):
    del facts["signatures"]["__call__"]


HALF = "decoder.bert.encoder.layer.0.crossattention.self.query.weight"
FAULTS = [
    ("DOC01", "hf-torch", "signature", moved, "forward.order"),
    ("DOC01", "hf-torch", "signature", moved, "forward.decoder_input_ids"),
    ("DOC01", "hf-tf", "signature", other_default, "call.training"),
    ("DOC01", "hf-flax", "signature", lost_method, "__call__"),
    ("DOC02", "hf-torch", "load", lambda facts: facts["report"].update(training=True), "training"),
    ("DOC03", "hf-flax", "compose", lambda facts: facts["parameters"].update({HALF: {"digest": "0"}}), HALF),
    ("DOC03", "hf-tf", "compose", lambda facts: facts["parameters"].pop(HALF), HALF),
    ("DOC03", "hf-torch", "compose", lambda facts: facts.update(training=True), "training"),
    (
        "DOC03",
        "hf-torch",
        "compose",
        lambda facts: facts["flags"].update(add_cross_attention=False),
        "add_cross_attention",
    ),
    ("DOC04", "hf-tf", "route", lambda facts: facts.update(route="from_pt=True"), "route"),
]


@pytest.mark.parametrize(("check", "backend", "at", "alter", "names"), FAULTS, ids=[f"{f[0]}-{f[4]}" for f in FAULTS])
def test_a_fault_fails_its_check_and_is_named(judged, check, backend, at, alter, names):
    found = judged(backend, at, alter)[check]
    assert found.status == "fail" and names in found.evidence["tensors"], found.reason


def test_every_one_of_these_checks_has_a_fault():
    assert {fault[0] for fault in FAULTS} == IDS


def test_every_documented_call_is_of_a_documented_class():
    from parity.report.coverage import DOCUMENTED

    models = {name for name in DOCUMENTED if not name.endswith(("Config", "Tokenizer", "TokenizerFast"))}
    assert set(documented_calls()) == models
