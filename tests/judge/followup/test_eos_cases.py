"""Which token of the oracle's text becomes the end in the cases about ``min_length``."""

from __future__ import annotations

import numpy as np
import pytest

from parity.judge.followup.eos_cases import wanted_end
from reference.generation import GenerationSettings

START, PAD, END = 2, 1, 9
SETTINGS = GenerationSettings(
    max_length=8, decoder_start_token_id=START, bos_token_id=0, pad_token_id=PAD, eos_token_id=END
)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[START, 5, 5, 6, 5, 6, 5, 5]], (0, 3, 6)),  # 6 comes last among those that were not there before
        ([[START, 5, 5, 5, 5, 5, 5, 5], [START, 5, 7, 5, 5, 5, 5, 5]], (1, 2, 7)),
        ([[START, 5, 5, 5, 5, 5, 5, 5], [START, 6, 6, 6, 6, 6, 6, 6]], (0, 1, 5)),  # of equal places the first row's
        ([[START, 5, 5, 5, 5, 5, 6, 7]], (0, 1, 5)),  # after 6 no room is left to see that a text goes on
        ([[START, 5, END, PAD, PAD, PAD, PAD, PAD]], (0, 1, 5)),
        ([[START, END, PAD, PAD, PAD, PAD, PAD, PAD]], None),  # nothing but tokens that mean something already
        ([[START, 5]], (0, 1, 5)),
    ],
)
def test_the_latest_token_that_was_not_there_before_becomes_the_end(rows, expected):
    assert wanted_end(np.array(rows), SETTINGS) == expected
