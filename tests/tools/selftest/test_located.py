"""The distance between a change and the place that a failure names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from parity.core.records import Divergence
from parity.core.tensors import TensorSpec
from parity.core.trace import Raised, Trace
from parity.tools.selftest.located import Place, nearest

FLOW = [
    TensorSpec("encoder.hidden.0", "hidden", ()),
    TensorSpec("encoder.attention.0", "attention", ()),
    TensorSpec("encoder.hidden.1", "hidden", ()),
    TensorSpec("encoder.hidden.2", "hidden", ()),
    TensorSpec("logits", "logits", ()),
]


def place(actual: Trace, original: Trace, operation: str, *named: tuple[str, dict[str, int], dict[str, Any]]) -> Place:
    traces = {0: actual, 1: original}
    run = SimpleNamespace(
        trace=lambda subject, case: traces[subject],
        cases={"a": SimpleNamespace(operation=operation)},
        specs=lambda case: FLOW,
    )
    failures = [
        SimpleNamespace(
            case="a", first_divergence=Divergence(tensor=tensor, at=at) if tensor else None, evidence=evidence
        )
        for tensor, at, evidence in named
    ]
    return nearest(cast(Any, run), 0, 1, cast(Any, failures))


def states(*changed: str) -> Trace:
    return Trace({spec.name: np.ones(3) * (2 if spec.name in changed else 1) for spec in FLOW})


@pytest.mark.parametrize(
    ("changed", "named", "distance"),
    [
        (("encoder.hidden.1", "encoder.hidden.2", "logits"), "encoder.hidden.1", 0),
        (("encoder.attention.0", "encoder.hidden.1"), "encoder.hidden.1", 1),
        (("encoder.hidden.0", "encoder.hidden.2"), "encoder.hidden.2", 2),
        (("encoder.hidden.2", "logits"), "encoder.hidden.0", 2),
        (("encoder.hidden.2", "logits"), "logits", 0),
    ],
)
def test_tensors_are_counted_in_layers(changed, named, distance):
    assert place(states(*changed), states(), "forward", (named, {}, {})) == Place("tensor", distance)


def text(*rows: list[int]) -> Trace:
    return Trace({"sequences": np.array(rows), "sequences_scores": np.zeros(len(rows))})


def test_texts_are_counted_in_steps_of_the_named_row():
    actual, original = text([2, 5, 6, 7], [2, 5, 8, 9]), text([2, 5, 6, 7], [2, 5, 6, 7])
    at = {"batch": 1, "tgt": 3}
    assert place(actual, original, "generate", ("sequences", at, {})) == Place("step", 1)
    assert place(actual, original, "generate", ("sequences", at, {"first_step": 2})) == Place("step", 0)
    assert place(actual, original, "generate", ("sequences", {"batch": 0, "tgt": 2}, {})) == Place("step", None)
    # A row without a step is named by its length.
    assert place(actual, original, "generate", ("sequences", {"batch": 1}, {})) == Place("step", 0)


def test_a_shorter_text_differs_after_its_end():
    assert place(text([2, 5]), text([2, 5, 7]), "generate", ("sequences", {"batch": 0, "tgt": 2}, {})).distance == 0


def test_another_score_of_the_same_text_is_named_or_not():
    actual = Trace({"sequences": np.array([[2, 5]]), "sequences_scores": np.ones(1)})
    assert place(actual, text([2, 5]), "generate", ("sequences_scores", {"batch": 0}, {})) == Place("step", 0)
    assert place(actual, text([2, 5]), "generate", ("sequences", {"batch": 0}, {})) == Place("step", None)


def test_an_exception_is_named_by_the_failure_that_states_it():
    raised = Trace(raised=Raised("ValueError", "wrong", "m.py:1 in f", "call"))
    assert place(raised, states(), "forward", ("", {}, {"exception": "ValueError"})) == Place("exception", 0)
    assert place(raised, states(), "forward", ("", {}, {})) == Place("exception", None)


def test_the_nearest_failure_of_the_case_counts():
    named = [("encoder.hidden.0", {}, {}), ("encoder.hidden.2", {}, {})]
    assert place(states("encoder.hidden.2", "logits"), states(), "forward", *named) == Place("tensor", 0)


def test_other_operations_name_what_they_state():
    actual, original = Trace(facts={"settings": {"max_length": 20}}), Trace(facts={"settings": {"max_length": 14}})
    assert place(actual, original, "generation_settings", ("max_length", {}, {})) == Place("fact", 0)
    assert place(original, original, "generation_settings", ("max_length", {}, {})) == Place("fact", None)
