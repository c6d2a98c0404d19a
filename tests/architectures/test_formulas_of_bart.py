"""BART whole and with each of its heads against the paper's formulas, a ragged batch against its rows one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.tools.fuzz import architectures as draw
from reference.config import BartConfig
from reference.names import table_of
from tests.architectures import formulas
from tests.architectures.asked import BOTH, Target, assert_close, host, ragged

PAD, START, END = 1, 4, 2
LAYERS, HEADS = (2, 1), (3, 2)
CONFIG = {
    "model_type": "bart",
    "vocab_size": 31,
    "d_model": 12,
    "encoder_layers": LAYERS[0],
    "decoder_layers": LAYERS[1],
    "encoder_attention_heads": HEADS[0],
    "decoder_attention_heads": HEADS[1],
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 14,
    "max_position_embeddings": 17,
    "scale_embedding": True,
    "pad_token_id": PAD,
    "eos_token_id": END,
    "decoder_start_token_id": START,
    "id2label": {str(n): f"L{n}" for n in range(5)},
}
ROWS = [[0, 9, END, 7, 11, 6, END], [0, END, 8, 5, END], [0, 13, 12, END, 10, END]]
"""Two ends each: a text is classified at its last, which stands elsewhere in each row."""


def asked(
    reference: str, model_class: str, **others: Any
) -> tuple[dict[str, np.ndarray], Any, list[tuple[np.ndarray, np.ndarray]]]:
    """The weights, what the reference makes of the rows as one batch, and by formula both halves' states of each.

    The decoder is fed the source shifted right by one.
    """
    config = BartConfig.from_dict({**CONFIG, **others})
    weights = draw.weights(table_of(config, model_class), np.random.default_rng(0))
    ids, mask = ragged(ROWS, PAD)
    found = Target.build(reference, config, model_class, weights)(input_ids=ids, attention_mask=mask)
    states = [formulas.bart(weights, row, [START, *row[:-1]], LAYERS, HEADS) for row in ROWS]
    return weights, found, states


@pytest.mark.parametrize("reference", BOTH)
def test_the_bare_model(reference: str) -> None:
    _, found, states = asked(reference, "BartModel")
    for row, (encoder, decoder) in enumerate(states):
        assert_close(found.encoder_last_hidden_state[row, : len(encoder)], encoder)
        assert_close(found.last_hidden_state[row, : len(decoder)], decoder)


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize("table", ["model.shared.weight", "lm_head.weight"])
def test_the_language_model(reference: str, table: str) -> None:
    others = {"tie_word_embeddings": table == "model.shared.weight"}
    weights, found, states = asked(reference, "BartForConditionalGeneration", **others)
    for row, (_, decoder) in enumerate(states):
        expected = decoder @ weights[table].T + weights["final_logits_bias"][0]
        assert_close(found.logits[row, : len(decoder)], expected)


@pytest.mark.parametrize("reference", BOTH)
def test_classification(reference: str) -> None:
    """Lewis et al. 2020, section 3.1: from the decoder's state where it is fed the token before the last end."""
    weights, found, states = asked(reference, "BartForSequenceClassification")
    linear = formulas.dense(formulas.inside(weights, "classification_head."))
    ends = np.array([decoder[-1] for _, decoder in states])
    assert_close(found.logits, linear("out_proj", np.tanh(linear("dense", ends))))


@pytest.mark.parametrize("reference", BOTH)
def test_question_answering(reference: str) -> None:
    """Section 3.2: two scores of each position. The first row is as long as the batch, so its softmax is whole."""
    weights, found, states = asked(reference, "BartForQuestionAnswering")
    for row, (_, decoder) in enumerate(states):
        scores = formulas.dense(weights)("qa_outputs", decoder)
        both = np.stack([host(found.start_logits), host(found.end_logits)], -1)
        assert_close(both[row, : len(decoder)], scores)
