"""The speech encoders against the papers' formulas: every order and every part that a config can ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.tools.fuzz import architectures as draw
from reference.config import SpeechConfig
from reference.names import table_of
from tests.architectures import formulas_of_speech
from tests.architectures.asked import BOTH, Target, assert_close

SIZES: dict[str, Any] = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "conv_dim": [6, 8],
    "conv_kernel": [5, 3],
    "conv_stride": [3, 2],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
OVER_CHANNELS = {"feat_extract_norm": "layer", "conv_bias": True}
LARGE = {"model_type": "wav2vec2", "do_stable_layer_norm": True, **OVER_CHANNELS}
ADAPTER = {"add_adapter": True, "num_adapter_layers": 2}
KINDS: dict[str, dict[str, Any]] = {
    "wav2vec2 base": {"model_type": "wav2vec2"},
    "wav2vec2 base, an odd kernel": {"model_type": "wav2vec2", "num_conv_pos_embeddings": 5},
    "wav2vec2 with an adapter": {"model_type": "wav2vec2", "adapter_stride": 3, **ADAPTER},
    "wav2vec2 large with an adapter of another width": {**LARGE, **ADAPTER, "output_hidden_size": 10},
    "hubert base": {"model_type": "hubert", "feat_proj_layer_norm": False},
    "hubert large": {
        "model_type": "hubert",
        "do_stable_layer_norm": True,
        **OVER_CHANNELS,
        "feat_proj_layer_norm": False,
    },
    "hubert with stored norms": {"model_type": "hubert", "conv_pos_batch_norm": True},
}


def drawn(kind: dict[str, Any]) -> tuple[SpeechConfig, dict[str, np.ndarray], formulas_of_speech.Speech]:
    config = SpeechConfig.from_dict({**SIZES, **kind})
    sizes = formulas_of_speech.Speech(
        strides=config.conv_stride,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        groups=config.num_conv_pos_embedding_groups,
        over_time=config.feat_extract_norm == "group",
        pre=config.do_stable_layer_norm,
        adapter_stride=config.adapter_stride,
    )
    return config, draw.weights(table_of(config), np.random.default_rng(0)), sizes


@pytest.mark.parametrize("reference", BOTH)
@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder(reference: str, kind: str) -> None:
    config, weights, sizes = drawn(KINDS[kind])
    audio = np.random.default_rng(1).normal(size=61)
    expected = formulas_of_speech.encoded(weights, audio, sizes)
    asked = Target.build(reference, config, f"{'Wav2Vec2' if 'wav' in kind else 'Hubert'}Model", weights)
    assert_close(asked("encode", [audio]).last_hidden_state[0], expected)


@pytest.mark.parametrize("reference", BOTH)
def test_large_wav2vec2_does_not_hear_what_fills_a_row_up(reference: str) -> None:
    """Only where nothing is normalised over time: there padding counts (``TimeNorm``)."""
    config, weights, sizes = drawn(LARGE)
    audio, mask = np.random.default_rng(1).normal(size=(2, 61)), np.ones((2, 61), int)
    mask[1, 44:] = 0
    found = Target.build(reference, config, "Wav2Vec2Model", weights)("encode", audio, mask).last_hidden_state
    for row, samples in enumerate(mask.sum(1)):
        expected = formulas_of_speech.encoded(weights, audio[row, :samples], sizes)
        assert_close(found[row, : len(expected)], expected)
