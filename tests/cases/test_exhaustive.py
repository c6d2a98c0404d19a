"""Which further cases each class has: embeddings where its decoder inputs are given, other forms of the call,
a call without a cache, and training mode."""

from __future__ import annotations

import pytest

from parity.cases.exhaustive import exhaustive_cases
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture

FORMS = [f"forward.{name}" for name in ("own-parameters", "given-parameters", "vectorised", "parallel")]
REQUESTS = ["forward.only-defaults", "forward.only-hidden-states", "forward.only-attentions"]
INPUTS = [f"forward.inputs-as-{form}" for form in ("list", "tuple", "dict")]
CALLS = ["forward.no-cache", *REQUESTS, *INPUTS]
OWN = [
    "forward.own-decoder-inputs",
    "forward.own-decoder-inputs.inputs-embeds",
    "forward.own-decoder-inputs.decoder-inputs-embeds",
    "forward.own-decoder-inputs.encoder-output",
    "forward.own-decoder-inputs.encoder-tuple",
    "forward.own-decoder-inputs.encoder-states",
    *FORMS,
    "forward.own-decoder-inputs.positions",
    *CALLS,
]
ALONE = [f"training.{name}" for name in ("without-dropout", "dropout", "attention-dropout", "activation-dropout")]
ALONE += ["training.layer-drop"]
WHOLE = [*ALONE, *(f"training.decoder-{name}" for name in ("alone", "attention-dropout", "activation-dropout"))]
BOTH = ["forward.inputs-embeds", "forward.decoder-inputs-embeds"]
ENCODED = ["forward.encoder-tuple", "forward.encoder-states"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bart-odd", [*BOTH, *ENCODED, *FORMS, "forward.positions", *CALLS, *WHOLE]),
        ("bart-bare", [*BOTH, *ENCODED, *FORMS, "forward.positions", *CALLS, *WHOLE]),
        ("bert2bert", [*BOTH, *ENCODED, *FORMS, "forward.positions", *CALLS]),
        (
            "bart-causal",
            ["forward.inputs-embeds", *FORMS, "forward.positions", "forward.no-cache", *REQUESTS, *ALONE],
        ),
        ("wav2vec2-bert", ["forward.decoder-inputs-embeds", *ENCODED, *FORMS, "forward.no-cache", *REQUESTS]),
        ("bart-labels", [*OWN, *WHOLE, "training.classifier-dropout"]),
        ("bart-span", [*OWN, *WHOLE]),
    ],
)
def test_each_class_has_the_cases_that_it_documents(name, expected):
    model_spec = inspect_checkpoint(fixture(name)).model_spec
    standard = standard_cases(model_spec)
    found = list(exhaustive_cases(model_spec, standard))
    assert [case.name for case in found] == expected
    forward = next(case for case in standard if case.name == "forward")
    assert all(case.inputs == forward.inputs for case in found if "own-decoder" not in case.name)
    assert all(case.inputs.items() > forward.inputs.items() for case in found if "own-decoder" in case.name)
    assert not {case.digest for case in found} & {case.digest for case in standard}
