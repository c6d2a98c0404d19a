"""A model file of fairseq against the checkpoint that it was converted to."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from parity import compare
from parity.core.resources import fixture
from parity.tools.compare.conversion import ConversionComparison
from reference.errors import CheckpointError
from reference.weights.fairseq_file import open_fairseq

ROOT = Path(__file__).parents[3]
SETTINGS = {"encoder_normalize_before": False, "layernorm_embedding": True, "activation_fn": "gelu", "lr": [0.1]}
LAYER = "model.decoder.layers.0.fc1.weight"


def fairseq_names(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """A state dict as fairseq has it: without the prefix, the table under each of its names."""
    found = {name.removeprefix("model."): torch.from_numpy(array.copy()) for name, array in weights.items()}
    table = found.pop("shared.weight")
    found.pop("final_logits_bias", None)
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight"):
        found[name] = table
    return {"encoder.version": torch.tensor([3.0]), **found}


@pytest.fixture
def pair(tmp_path):
    """Writes a model file with these settings, and a checkpoint with changed weights; gives both paths."""

    def make(change=lambda weights: None, settings=SETTINGS, named="args", dictionary=None, **extra):
        directory, model = tmp_path / "converted", tmp_path / "fairseq" / "model.pt"
        shutil.copytree(fixture("bart-tiny"), directory)
        model.parent.mkdir()
        weights = load_file(directory / "model.safetensors")
        value = argparse.Namespace(**settings) if named == "args" else {"task": {"seed": 1}, "model": settings}
        torch.save({named: value, "model": fairseq_names(weights), "extra_state": {"epoch": 1}, **extra}, model)
        change(weights)
        save_file(
            {name: np.ascontiguousarray(array) for name, array in weights.items()}, directory / "model.safetensors"
        )
        if dictionary is not None:
            (model.parent / "dict.txt").write_text("".join(f"{token} 1\n" for token in dictionary))
        return model, directory

    return make


@pytest.mark.parametrize("named", ["args", "cfg"])
def test_a_conversion_that_loses_nothing(pair, named):
    model, directory = pair(named=named)
    found = compare(model, directory)
    assert isinstance(found, ConversionComparison)
    assert (found.same, found.exit_code, found.parameters, found.settings) == (True, 0, (), ())
    assert found.equal > 60 and compare(directory, model).same  # in either order


def transpose(weights):
    weights["model.encoder.layers.0.self_attn.k_proj.weight"] = weights[
        "model.encoder.layers.0.self_attn.k_proj.weight"
    ].T


def pad(weights):
    table = weights["model.shared.weight"]
    weights["model.shared.weight"] = np.concatenate([table, np.zeros((3, table.shape[1]), table.dtype)])


def reorder(weights):
    table = weights["model.shared.weight"]
    weights["model.shared.weight"] = table[[1, 0, *range(2, len(table))]]


def scale_a_row(weights):
    weights[LAYER] = weights[LAYER].copy()
    weights[LAYER][3] *= 1.01


def lose(weights):
    del weights[LAYER]


def truncate(weights):
    weights["model.decoder.embed_positions.weight"] = weights["model.decoder.embed_positions.weight"][:-2]


def halve(weights):
    for name, array in list(weights.items()):
        weights[name] = array.astype(np.float16)


@pytest.mark.parametrize(
    ("change", "kind", "name", "detail"),
    [
        (transpose, "transposed", "model.encoder.layers.0.self_attn.k_proj.weight", "transposed to"),
        (pad, "padded", "model.shared.weight", "the rest has been added"),
        (reorder, "reordered", "model.shared.weight", "row 0 of the checkpoint is row 1"),
        (scale_a_row, "changed", LAYER, "the first at 3, by at most"),
        (lose, "lost", LAYER, "is not in the checkpoint"),
        (truncate, "truncated", "model.decoder.embed_positions.weight", "the rest has been lost"),
    ],
)
def test_each_parameter_that_a_conversion_spoils_is_named(pair, change, kind, name, detail):
    found = compare(*pair(change))
    (difference,) = found.parameters
    assert (difference.kind, difference.name, found.exit_code) == (kind, name, 1) and detail in difference.detail


def test_a_cast_to_half_precision_is_no_difference(pair):
    assert compare(*pair(halve)).same


def test_settings_and_parameters_of_another_architecture_are_named(pair):
    settings = {**SETTINGS, "decoder_normalize_before": True, "no_scale_embedding": False, "activation_fn": "relu"}
    model, directory = pair(settings=settings)
    content = torch.load(model, weights_only=False)
    content["model"]["decoder.layer_norm.weight"] = torch.ones(4)
    torch.save(content, model)
    found = compare(model, directory)
    named = sorted(each.split(" is ")[0] for each in found.settings)
    assert named == ["activation_fn", "decoder_normalize_before", "no_scale_embedding"]
    assert [(each.kind, each.theirs) for each in found.parameters] == [("lost", "decoder.layer_norm.weight")]


def test_the_dictionary_s_order_is_compared_with_the_vocabulary(pair):
    model, directory = pair(dictionary=["one", "two"])
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "one": 4, "two": 5}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    assert compare(model, directory).dictionary == ()
    (directory / "vocab.json").write_text(json.dumps({**vocabulary, "one": 5, "two": 4}))
    assert compare(model, directory).dictionary == ("token 4 is one in dict.txt, and two in vocab.json",)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_the_file_is_executed(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, directory = pair(task_state=Hostile())
    assert compare(model, directory).same and not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not a file of torch.save|it has no end"),
        (b"PK\x03\x04 cut", "zip archive"),
        (None, "no state dict named model"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, content, cause):
    path = tmp_path / "model.pt"
    if content is None:
        torch.save({"weights": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=cause):
        open_fairseq(path)


def test_the_command_prints_what_was_lost(pair):
    model, directory = pair(scale_a_row)
    command = [sys.executable, "-m", "parity", "compare", str(model), str(directory)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert f"changed: {LAYER} (fairseq: decoder.layers.0.fc1.weight): 1 of " in " ".join(ended.stdout.split())
