"""Third parties' backends: no check asks what they say they lack, and nothing depends on what they are called."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint

import pytest

from parity.cases.documented_api import documented_cases
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core import backends
from parity.core.backends import find_entry
from parity.core.resources import fixture
from parity.core.subject import Subject
from parity.judge.checks import CHECKS
from parity.judge.judge import verdicts_of
from parity.tools.fuzz.executor import Plan, Process, capture_live

POINT = EntryPoint("hf-mine", "tests.backends.logits_alone:LogitsAlone", backends.ENTRY_POINTS)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "entry_points", lambda group: [POINT] if group == POINT.group else [])
        found = Process(["reference-torch", "file", "hf-mine"], tmp_path_factory.mktemp("compiled"))
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
        yield found


@pytest.mark.parametrize("name", ["bart-odd", "bart-labels"])
def test_a_backend_that_returns_logits_alone_is_green(process, name):
    """Whatever its name begins with: it is neither a class of transformers nor one of the references."""
    assert find_entry("hf-mine").class_prefix is None and not find_entry("hf-mine").reference
    checkpoint = inspect_checkpoint(fixture(name))
    documented = checkpoint.model_spec.model_class
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.backends.logits_alone.LogitsAlone.documented_class", documented, raising=False)
        standard = list(standard_cases(checkpoint.model_spec, None, checkpoint.generation))
        left_out = ("save", "gradients", "generate", "generation_settings")
        both = [*standard, *documented_cases(checkpoint.model_spec, standard)]
        cases = [case for case in both if case.operation not in left_out]
        run = capture_live(process, Plan((Subject("hf-mine"),)), checkpoint, cases)
        verdicts = [v for v in verdicts_of(run, list(CHECKS.values()), False) if v.backend == "hf-mine"]
    assert [f"{v.check} {v.case}: {v.reason}" for v in verdicts if v.status in ("fail", "error")] == []
    passed = {v.check for v in verdicts if v.status == "pass"}
    assert passed >= {"OUT02", "EVAL01", "NUM04"}
