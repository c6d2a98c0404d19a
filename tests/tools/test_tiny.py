"""``parity.tiny``: random checkpoints for a config."""

from __future__ import annotations

import json

import numpy as np
import pytest

import parity
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.model_spec import model_spec_of
from parity.core.resources import fixtures
from parity.tools.tiny import HEADS, LAYERS, VOCAB, make_weights
from reference.weights import read_weights

LARGE = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 6,
    "d_model": 768,
    "forced_bos_token_id": 40_001,
    "decoder_start_token_id": 40_001,
}
SMALL = LARGE | {
    "d_model": 24,
    "vocab_size": 80,
    "max_position_embeddings": 30,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 30,
    "decoder_ffn_dim": 36,
    "decoder_start_token_id": 2,
    "forced_bos_token_id": 0,
}


def test_the_config_is_used_unchanged(tmp_path):
    directory = parity.tiny(SMALL, tmp_path / "new")
    assert directory == tmp_path / "new"
    assert json.loads((directory / "config.json").read_text()) == SMALL
    weights = read_weights(directory, inspect_checkpoint(directory).model_spec.config)
    assert (weights.surplus, weights.misshapen, weights.not_finite) == ([], {}, {})
    settings = json.loads((directory / "generation_config.json").read_text())
    assert settings["max_length"] == 20 and settings["decoder_start_token_id"] == 2


def test_the_seed_decides_the_bytes(tmp_path):
    first, again, other = (parity.tiny(SMALL, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    content = [(each / "model.safetensors").read_bytes() for each in (first, again, other)]
    assert content[0] == content[1] != content[2]


@pytest.mark.parametrize("path", fixtures(), ids=lambda path: path.name)
def test_every_architecture_can_be_drawn_and_reduced(path):
    assert inspect_checkpoint(parity.tiny(path)).config == inspect_checkpoint(path).config
    reduced = inspect_checkpoint(parity.tiny(path / "config.json", reduce=True))
    assert reduced.model_class == inspect_checkpoint(path).model_class and reduced.weight_bytes < 400_000


def test_a_large_config_is_reduced():
    spec = inspect_checkpoint(parity.tiny(LARGE, reduce=True)).model_spec
    config = spec.bart
    assert (config.encoder_layers, config.decoder_layers, config.vocab_size) == (LAYERS, LAYERS, VOCAB)
    assert config.encoder_attention_heads == config.decoder_attention_heads == HEADS and config.d_model == 24
    # A token outside the vocabulary is replaced by one token, wherever it is named.
    assert config.decoder_start_token_id == config.forced_bos_token_id == VOCAB - 1
    assert (config.pad_token_id, config.eos_token_id) == (1, 2)


def test_config_objects_are_accepted():
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    halves = transformers.BertConfig(), transformers.GPT2Config(add_cross_attention=True)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*halves)
    assert inspect_checkpoint(parity.tiny(config, reduce=True)).model_class == "EncoderDecoderModel"


def test_wide_matrices_keep_the_size_of_their_outputs():
    spec = model_spec_of(SMALL | {"d_model": 384})
    weights = make_weights(spec, 0, 1.2, widest=25)
    assert weights["model.encoder.layers.0.fc1.weight"].std() == pytest.approx(0.2 * (25 / 384) ** 0.5, rel=0.05)
    assert np.abs(weights["model.encoder.layers.0.fc1.bias"]).min() >= 0.05
    assert weights["model.encoder.layernorm_embedding.weight"].std() > 0.2


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        (LARGE | {"d_model": 16_380}, r"the weights of this config take \d+\.\d GB; the limit is 2 GB \(reduce=True"),
        (LARGE | {"encoder_layers": 10**9}, r"the weights of this config take \d+\.\d GB"),
        ({"model_type": "t5"}, "config.json: unknown model_type 't5'"),
        (3, "a int is no config"),
        ({"model_type": "bart", "d_model": object()}, "the config has a value that config.json cannot have"),
        ("/nowhere/config.json", "/nowhere: no such directory"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(config, cause):
    with pytest.raises(parity.InputError, match=f"^{cause}") as raised:
        parity.tiny(config)
    assert "\n" not in str(raised.value)


def test_a_directory_with_files_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(parity.InputError, match="is not empty"):
        parity.tiny(SMALL, tmp_path)
    assert (tmp_path / "config.json").read_text() == "mine"
