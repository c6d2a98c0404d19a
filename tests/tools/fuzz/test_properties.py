"""Properties: on any model, batch and settings of a family, no check fails on a conforming backend.

Every invariant of an audit is among the checks: padding, other rows, a masked row, the future, a cache's steps, texts
and scores. What fails is shrunk to the smallest model and batch; `parity fuzz` finds, keeps and shows it without
pytest.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import strategies as st

from parity.core.subject import Subject
from parity.tools.fuzz.example import AUDITED, drawn
from parity.tools.fuzz.executor import Plan, Process, is_alarm
from parity.tools.fuzz.search import Choices, judge_example
from tests.profiles import examples

LIBRARY = Plan((Subject("hf-torch"), Subject("hf-torch", "sdpa")))
"""Each is held against the oracle, and against its own other answers. What XLA compiles for each shape is searched by
number (``test_numbered.py``)."""
QUICK = ("bart", "bert2gpt2", "wav2vec2bart")
"""Families that every run tries: of text alone, a composition, and one of speech."""
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in AUDITED]
)
@examples(2, suppress_health_check=SLOW)
@given(data=st.data())
def test_no_check_fails_on_an_conforming_backend(process: Process, family: str, data: st.DataObject) -> None:
    choices = Choices(data)
    example = drawn(choices, choices, family)
    note(example.to_json())
    _, verdicts = judge_example(process, LIBRARY, example)
    assert len([verdict for verdict in verdicts if verdict.status in ("pass", "known")]) > 20
    assert [f"{v.check} {v.case} {v.backend} {v.variant}: {v.reason}" for v in verdicts if is_alarm(v)] == []
