"""The fixtures are what the one command writes, and as hostile as they are meant to be."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from fixtures.make import CHECKPOINTS, FIXTURES, PROVENANCE, make_fixture
from reference.config import BartConfig
from reference.names import LOGITS_BIAS, expected_parameters
from reference.weights import read_weights

every_fixture = pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)


def test_no_checkpoint_is_unaccounted_for():
    # bart-tiny is trained, by a command of its own: tests/test_fixture_tiny.py.
    assert {path.name for path in CHECKPOINTS.iterdir()} == {fixture.name for fixture in FIXTURES} | {"bart-tiny"}


@every_fixture
def test_writing_again_gives_the_same_bytes(fixture, tmp_path):
    make_fixture(fixture, tmp_path)
    names = {path.name for path in (CHECKPOINTS / fixture.name).iterdir()}
    assert names == {path.name for path in (tmp_path / fixture.name).iterdir()}
    for name in names - {PROVENANCE}:
        assert (tmp_path / fixture.name / name).read_bytes() == (CHECKPOINTS / fixture.name / name).read_bytes(), name
    # The provenance names the versions that wrote it; these need not be today's.
    ours, theirs = (json.loads((root / fixture.name / PROVENANCE).read_text()) for root in (tmp_path, CHECKPOINTS))
    assert ours | {"versions": None} == theirs | {"versions": None}


@every_fixture
def test_provenance_is_complete_and_true(fixture):
    directory = CHECKPOINTS / fixture.name
    provenance = json.loads((directory / PROVENANCE).read_text())
    assert set(provenance) == {"command", "date", "seed", "versions", "sha256"}
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.name != PROVENANCE
    }
    assert provenance["sha256"] == digests
    assert sum(path.stat().st_size for path in directory.iterdir()) < 300_000


@every_fixture
def test_weights_are_whole_and_hostile(fixture):
    config = BartConfig.read(CHECKPOINTS / fixture.name)
    weights = read_weights(CHECKPOINTS / fixture.name, config)
    assert list(weights) == list(expected_parameters(config))
    assert (weights.surplus, weights.misshapen, weights.tied_differs, weights.not_finite) == ([], {}, [], {})
    for name, array in weights.items():
        if name.endswith("bias"):
            assert np.abs(array).min() >= 0.05, name
        elif "norm" in name:
            assert 0.5 <= array.min() < 0.75 and 1.25 < array.max() <= 1.5, name
        else:
            assert array.std() >= 0.15, name
    assert 1.0 <= weights[LOGITS_BIAS][0, config.eos_token_id] <= 1.4
    assert np.abs(weights["model.shared.weight"][config.pad_token_id]).max() > 0.1


@every_fixture
def test_every_axis_has_its_own_size(fixture):
    config = BartConfig.read(CHECKPOINTS / fixture.name)
    heads = (config.encoder_attention_heads, config.decoder_attention_heads)
    sizes = [
        *heads, *(config.d_model // count for count in heads), config.d_model, config.encoder_ffn_dim,
        config.decoder_ffn_dim, config.vocab_size, config.max_position_embeddings,
    ]  # fmt: skip
    assert len(set(sizes)) == len(sizes)
    assert config.encoder_layers != config.decoder_layers


def test_the_two_fixtures_differ_where_libraries_do():
    odd, untied = (BartConfig.read(CHECKPOINTS / fixture.name) for fixture in FIXTURES)
    assert (odd.pad_token_id, untied.pad_token_id) == (1, 0)
    assert (odd.tie_word_embeddings, untied.tie_word_embeddings) == (True, False)
    assert (odd.scale_embedding, untied.scale_embedding) == (True, False)
    assert odd.activation_function != untied.activation_function
    assert odd.encoder_layers < odd.decoder_layers and untied.encoder_layers > untied.decoder_layers
    assert odd.others["max_length"] <= odd.max_position_embeddings
