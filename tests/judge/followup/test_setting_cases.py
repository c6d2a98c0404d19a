"""Cases of generation settings that are made from a text: their tokens exist, and a check reads each."""

from __future__ import annotations

import numpy as np
import pytest

from parity.core.case import Case
from parity.judge.checks import CHECKS
from parity.judge.followup.setting_cases import form_cases, setting_cases
from reference.generation import GenerationSettings

SETTINGS = {"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 0, "max_length": 8}


def made(text: list[int], vocab: int, **settings: int) -> list[Case]:
    in_force = GenerationSettings.from_dict({**SETTINGS, **settings}).to_dict()
    inputs = {"input_ids": [[5, 6, 2]], "attention_mask": [[1, 1, 1]]}
    case = Case("generate.greedy", "generate", inputs, {"arguments": {"max_length": 8}}, notes={"settings": in_force})
    sequences = np.array([text])
    return [*setting_cases(case, sequences, vocab), *form_cases(case, sequences, vocab, case)]


@pytest.mark.parametrize(
    ("text", "vocab", "settings"),
    [
        ([2, 5, 6, 7, 8, 9, 10, 2], 40, {}),
        ([2, 1, 4, 5, 6, 1, 4, 5], 8, {"eos_token_id": 3}),
        # The lowest tokens are all in use, and so is the one after the text's largest.
        ([2, 1, 3, 4, 1, 3, 4, 1], 8, {"eos_token_id": 5}),
    ],
)
def test_every_token_of_a_case_is_in_the_vocabulary_and_every_case_is_judged(text, vocab, settings):
    cases = made(text, vocab, **settings)
    assert len(cases) > 20 and len({case.name for case in cases}) == len(cases)
    for case in cases:
        found = GenerationSettings.from_dict(case.notes["settings"])
        found.check_tokens(vocab, case.name)
        checks = {"GEN03"} if found.num_beams > 1 else {"GEN02"}
        assert checks <= {name for name, check in CHECKS.items() if case.name in check.cases}, case.name


def test_a_text_of_every_token_and_one_of_the_end_alone_make_none():
    assert made([2, 1, 3, 4, 5, 1, 3, 4], 6) == []
    assert made([2, 2, 0, 0, 0, 0, 0, 0], 40) == []
