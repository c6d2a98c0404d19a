"""The fixtures are what the one command writes, and as hostile as they are meant to be."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from fixtures.make import CHECKPOINTS, END_BIASES, FIXTURES, PROVENANCE, make_fixture
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.model_spec import HEADS
from reference.config import BartConfig
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
    anatomy = inspect_checkpoint(CHECKPOINTS / fixture.name).anatomy
    weights = read_weights(CHECKPOINTS / fixture.name, anatomy.config, model_class=anatomy.model_class)
    assert list(weights) == list(anatomy.table.expected())
    assert (weights.surplus, weights.misshapen, weights.tied_differs, weights.not_finite) == ([], {}, [], {})
    for name, array in weights.items():
        if name.endswith("bias"):
            assert np.abs(array).min() >= 0.05, name
        elif _is_scale(name):
            assert (0.5 <= array.min() < 0.8 and 1.2 < array.max() <= 1.5) or array.size < 12, name
        else:
            assert array.std() >= 0.15, name
    ends = [weights[name][..., anatomy.end] for name in END_BIASES if name in weights]
    assert all(1.0 <= end <= 1.4 for end in ends) or not anatomy.generates
    tables = [array for name, array in weights.items() if name.endswith(("shared.weight", "word_embeddings.weight"))]
    assert all(np.abs(table[anatomy.pad]).max() > 0.1 for table in tables)


def _is_scale(name):
    return "norm" in name.lower() or ".ln_" in name or "original0" in name


@pytest.mark.parametrize("fixture", FIXTURES[:2], ids=lambda fixture: fixture.name)
def test_every_axis_has_its_own_size(fixture):
    config = BartConfig.read(CHECKPOINTS / fixture.name)
    heads = (config.encoder_attention_heads, config.decoder_attention_heads)
    sizes = [
        *heads,
        *(config.d_model // count for count in heads),
        config.d_model,
        config.encoder_ffn_dim,
        config.decoder_ffn_dim,
        config.vocab_size,
        config.max_position_embeddings,
    ]
    assert len(set(sizes)) == len(sizes)
    assert config.encoder_layers != config.decoder_layers


def test_every_class_and_composition_has_a_fixture():
    """Those that the documents name; what a framework has no class for is skipped by name."""
    anatomies = {fixture.name: inspect_checkpoint(CHECKPOINTS / fixture.name).anatomy for fixture in FIXTURES}
    assert {anatomy.model_class for anatomy in anatomies.values()} == set(HEADS)
    pairs = {
        (anatomy.raw["encoder"]["model_type"], anatomy.raw["decoder"]["model_type"])
        for anatomy in anatomies.values()
        if anatomy.composed
    }
    text = {("bert", "bert"), ("bert", "gpt2"), ("bert", "bart"), ("roberta", "roberta"), ("bert-generation",) * 2}
    assert pairs == text | {(e, d) for e in ("wav2vec2", "hubert") for d in ("bert", "bart", "mbart")}
    assert {anatomy.config.projects for anatomy in anatomies.values() if anatomy.composed} == {True, False}
    assert any(anatomy.speech and anatomy.speech.add_adapter for anatomy in anatomies.values())
    # Flax has neither of the other forms of wav2vec 2.0, and no BART behind another width.
    stable = anatomies["wav2vec2-bert-stable"]
    assert (stable.speech.do_stable_layer_norm, stable.speech.feat_extract_norm) == (True, "layer")
    assert stable.raw["decoder"]["max_position_embeddings"] > stable.frames(1024)


def test_the_two_fixtures_differ_where_libraries_do():
    odd, untied = (BartConfig.read(CHECKPOINTS / fixture.name) for fixture in FIXTURES[:2])
    assert (odd.pad_token_id, untied.pad_token_id) == (1, 0)
    assert (odd.tie_word_embeddings, untied.tie_word_embeddings) == (True, False)
    assert (odd.scale_embedding, untied.scale_embedding) == (True, False)
    assert odd.activation_function != untied.activation_function
    assert odd.encoder_layers < odd.decoder_layers and untied.encoder_layers > untied.decoder_layers
    assert odd.others["max_length"] <= odd.max_position_embeddings
