"""What asks for endless work or memory is refused by one line, before anything is built, listed or waited for."""

from __future__ import annotations

import json
import math
import os
import shutil
import tracemalloc

import pytest

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.resources import fixture
from reference.config import config_of, read_config
from reference.errors import CheckpointError, brief
from reference.files import parse_json, read_bytes, read_json
from reference.names import table_of
from reference.weights.bounds import requested_size


def copied(tmp_path, name="bart-odd", **changes):
    """A fixture with another config."""
    place = tmp_path / name
    shutil.copytree(fixture(name), place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, **changes}))
    return place


@pytest.mark.parametrize("name", ["bart-odd", "bart-untied", "bert2gpt2", "hubert-mbart", "wav2vec2-bert-stable"])
@pytest.mark.parametrize("layers", [1, 5])
def test_what_a_config_asks_for_is_counted_exactly(name, layers):
    config = read_config(fixture(name))
    raw = json.loads((fixture(name) / "config.json").read_text())
    fields = ("encoder_layers", "decoder_layers", "num_hidden_layers", "n_layer")
    for half in (raw, raw.get("encoder", {}), raw.get("decoder", {})):
        half.update({field: layers for field in fields if field in half})
    for each in (config, config_of(raw)):
        shapes = table_of(each).shapes.values()
        assert requested_size(each) == (sum(map(math.prod, shapes)), len(shapes))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"encoder_layers": 100_000}, "defines a model with"),
        ({"decoder_layers": 2**31 - 1}, "defines a model with"),
        ({"vocab_size": 10**9}, "defines a model with 25,000,"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings is 1000000000000, more than any"),
        ({"encoder_ffn_dim": 10**9}, "defines a model with"),
        ({"d_model": 10**400}, "not JSON that can be read: a number of 401 digits"),
        ({"encoder_attention_heads": 0}, "encoder_attention_heads is 0, not a positive integer"),
        ({"num_labels": 10**9}, "num_labels is 1000000000, more than any head has"),
        ({"id2label": 5}, "id2label is 5, not a JSON object"),
        ({"dropout": 10**99}, "not a number of at least 0"),
    ],
)
def test_a_config_of_another_size_than_its_weights_is_refused_at_once(tmp_path, changes, cause):
    place = copied(tmp_path, **changes)
    tracemalloc.start()
    with pytest.raises(CheckpointError) as error:
        inspect_checkpoint(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cause in str(error.value) and "config.json" in str(error.value)
    assert peak < 20_000_000


def test_a_layer_too_many_or_too_few_is_left_to_the_checks(tmp_path):
    inspect_checkpoint(copied(tmp_path / "more", encoder_layers=6))
    inspect_checkpoint(copied(tmp_path / "fewer", encoder_layers=1))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["named pipe", "device", "directory"])
def test_only_regular_files_are_opened(tmp_path, name, kind):
    place = copied(tmp_path)
    (place / name).unlink(missing_ok=True)
    if kind == "named pipe":
        os.mkfifo(place / name)
    elif kind == "device":
        (place / name).symlink_to("/dev/zero")
    else:
        (place / name).mkdir()
    for read in (inspect_checkpoint, lambda _: read_bytes(place / name)):
        with pytest.raises(CheckpointError, match=rf"{name}: is a {kind}, not a regular file"):
            read(place)


def test_a_link_to_a_regular_file_is_one(tmp_path):
    place = copied(tmp_path)
    (place / "config.json").rename(tmp_path / "blob")
    (place / "config.json").symlink_to("../blob")
    assert read_json(place, "config.json")["model_type"] == "bart"


@pytest.mark.parametrize("depth", [65, 250, 900, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_one_line(depth, opening, closing):
    content = (opening * depth + "1" + closing * depth).encode()
    with pytest.raises(CheckpointError, match=r"x\.json: not JSON that can be read: nested deeper than 64 levels"):
        parse_json(content, "x.json")
    parse_json((opening * 64 + "1" + closing * 64).encode(), "x.json")


def test_a_value_is_named_without_walking_it():
    doubled: list = []
    for _ in range(60):
        doubled = [doubled, doubled]
    assert brief(doubled) == "[[[[…], […]], [[…], […]]], [[[…], […]], [[…], […]]]]"
    assert brief(10**100_000) == "an integer of 332193 bits"
    assert len(brief("x" * 10**7)) <= 120 and len(brief(list(range(10**6)))) <= 120
    for small in (5, -1, True, None, 1.5, "a'b\n", [1, (2,)], {"a": [()]}, b"\xff"):
        assert brief(small) == repr(small)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_config_holds_fewer_values_than_other_files(tmp_path, name):
    """Libraries copy and compare it many times while they load: a million of its values take them minutes."""
    text = json.dumps({"a": [0] * 250_000})
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=f"{name}: not JSON that can be read: more than 200,000 values"):
        read_json(tmp_path, name)
    (tmp_path / "vocab.json").write_text(text)
    assert len(read_json(tmp_path, "vocab.json")["a"]) == 250_000


def test_labels_of_the_largest_heads_are_read(tmp_path):
    labels = {str(number): f"LABEL_{number}" for number in range(21_843)}
    (tmp_path / "config.json").write_text(
        json.dumps({"id2label": labels, "label2id": {v: k for k, v in labels.items()}})
    )
    assert len(read_json(tmp_path, "config.json")["id2label"]) == 21_843
