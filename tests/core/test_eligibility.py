"""One decision about a cell: whether there is one, and why it is skipped."""

from __future__ import annotations

import pytest

from parity.core.case import Case
from parity.core.eligibility import Eligible, NotApplicable, Skip, eligibility
from parity.core.records import SubjectRecord

LOAD = Case("load", "load", requires=("load",))
FORWARD = Case("forward", "forward", requires=("attentions",), notes={"sets_noise_floor": True})
CONFIG = Case("config", "config", requires=("config",))
LEFT_OUT = Case("save", "save", requires=("room_to_save",), notes={"lacking": {"room_to_save": "the disk is full"}})
ROUTE = Case("route", "route", requires=("load",), notes={"only": [["hf-tf", "eager"]]})
OF_THE_FILE = Case("load", "load", requires=("load",), notes={"roles": ["file"]})


def subject(role="candidate", **fields):
    can = ["load", "attentions", "cpu", "float32"]
    usual = {
        "backend": "hf-torch",
        "variant": "eager",
        "stack": "main",
        "device": "cpu",
        "dtype": "float32",
        "role": role,
        "label": "hf-torch",
        "model_class": "BartModel",
        "documented_class": "BartModel",
        "capabilities": can,
        "environment": "main",
    }
    return SubjectRecord(**{**usual, **fields})


ABSENT = "torch is not installed"


@pytest.mark.parametrize(
    ("asked", "case", "decision"),
    [
        (subject(), FORWARD, Eligible()),
        (subject(), CONFIG, NotApplicable()),
        (subject(component="config", capabilities=["config"]), CONFIG, Eligible()),
        (subject(), ROUTE, NotApplicable()),
        (subject(backend="hf-tf"), ROUTE, Eligible()),
        (subject("oracle"), FORWARD, Eligible()),
        (subject("oracle"), LOAD, NotApplicable()),
        (subject("file", dtype="float64"), LOAD, Eligible()),
        (subject("file"), FORWARD, NotApplicable()),
        (subject("noise_floor"), FORWARD, Eligible()),
        (subject("noise_floor"), Case("tuple", "tuple"), NotApplicable()),
        (subject(), OF_THE_FILE, NotApplicable()),
        (subject(kept=["forward"]), FORWARD, Eligible()),
        (subject(kept=["forward"]), LOAD, NotApplicable()),
        (subject(), LEFT_OUT, Skip("room_to_save: the disk is full")),
        (subject(capabilities=["load", "cpu", "float32"]), FORWARD, Skip("attentions: not declared")),
        (subject(dtype="float64"), FORWARD, Skip("float64: not declared")),
        (subject("oracle", dtype="float64"), FORWARD, Eligible()),
        (
            subject(capabilities=[], lacking=dict.fromkeys(("attentions", "cpu", "float32"), ABSENT)),
            FORWARD,
            Skip(ABSENT),
        ),
    ],
)
def test_who_is_asked_what(asked, case, decision):
    assert eligibility(asked, case) == decision


def test_a_check_is_skipped_for_what_it_needs_beside_its_case():
    assert eligibility(subject(), FORWARD, requires=("tuple",)) == Skip("tuple: not declared")
    assert eligibility(subject(), LOAD, depends_on=[LEFT_OUT]) == Skip("room_to_save: not declared")
    assert eligibility(subject(kept=["load"]), LOAD, depends_on=[FORWARD]) == NotApplicable()
