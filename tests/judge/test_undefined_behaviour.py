"""Which generated texts nothing defines: those in which the oracle's RoBERTa writes padding as a word."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from parity.core.case import Case
from parity.core.trace import Trace, TraceError
from parity.judge.undefined_behaviour import cases_of_undefined_text

PAD, END, WORD = 1, 2, 7
SETTINGS = {"eos_token_id": END, "pad_token_id": PAD, "decoder_start_token_id": 0, "max_length": 8}
CANDIDATE, ORACLE = 1, 0


def run(texts: dict[int, list[int] | TraceError], decoder: str = "roberta") -> SimpleNamespace:
    """One generate case and one made from it; ``texts`` by subject."""
    case = Case("generate.greedy", "generate", {"input_ids": [[5, END]]}, notes={"settings": SETTINGS})
    made = Case("generate.ends", "generate", {"input_ids": [[5, END]]}, notes={"settings": SETTINGS, "of": case.name})
    plain = Case("forward", "forward", {"input_ids": [[5, END]]})

    def trace(index: int, name: str) -> Trace | None:
        if isinstance(texts[index], TraceError):
            raise texts[index]
        return Trace({"sequences": np.array([texts[index]])})

    config = SimpleNamespace(decoder=SimpleNamespace(model_type=decoder))
    return SimpleNamespace(
        cases={each.name: each for each in (plain, case, made)},
        trace=trace,
        oracle_index=ORACLE,
        model_spec=SimpleNamespace(config=config, pad=PAD, vocab=20),
    )


@pytest.mark.parametrize(
    ("text", "undefined"),
    [
        pytest.param([0, WORD, PAD, WORD, END], ["generate.greedy", "generate.ends"], id="a word"),
        pytest.param([0, WORD, WORD, END, PAD], [], id="what fills a row behind its end"),
        pytest.param([PAD, WORD, WORD, END], [], id="the start token"),
    ],
)
def test_padding_as(text, undefined):
    assert list(cases_of_undefined_text(run({ORACLE: text, CANDIDATE: [0, END]}))) == undefined


def test_a_candidate_s_own_padding_is_judged():
    assert not list(cases_of_undefined_text(run({ORACLE: [0, WORD, END], CANDIDATE: [0, PAD, WORD, END]})))


def test_other_decoders_count_every_position():
    assert not list(cases_of_undefined_text(run({ORACLE: [0, PAD, WORD, END]}, decoder="bert")))


def test_a_trace_that_cannot_be_read_is_left_to_its_own_cells():
    assert not list(cases_of_undefined_text(run({ORACLE: TraceError("broken")})))
