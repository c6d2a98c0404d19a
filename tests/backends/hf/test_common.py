"""What the adapters share: the notes of a load, the conversion route, and names."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from parity.backends.hf import common
from parity.checkpoint.conversion import flags_needed, stored_for
from reference.config import BartConfig
from reference.names import table_of
from tests.backends.samples import CHECKPOINT

BART = BartConfig.read(CHECKPOINT)


def test_notes_hold_warnings_and_log_lines_once_each_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("transformers.somewhere")
    with common.notes_of_load() as notes:
        logger.warning("\x1b[1mSome weights\x1b[0m\nare  new")
        logger.warning("Some weights are new")
        logger.info("not this")
        warnings.warn("and this", UserWarning, stacklevel=1)
        warnings.warn("nor this", DeprecationWarning, stacklevel=1)
        print("printed by the library")
    logger.warning("after the load")
    assert notes == ["Some weights are new", "and this"]
    captured = capsys.readouterr()
    assert captured.out == "" and "printed by the library" in captured.err


def test_a_list_of_every_parameter_is_read_whole_and_kept_short() -> None:
    names = [f"model.layers.{number}.weight" for number in range(200)]
    with common.notes_of_load() as notes:
        logging.getLogger("transformers").warning(f"newly initialized: {names}")
    assert common.names_in(notes[0]) == sorted(names)
    assert [len(note) for note in common.shortened(notes)] == [common.NOTE_LENGTH]


def test_notes_are_kept_where_the_load_raises() -> None:
    with pytest.raises(OSError), common.notes_of_load() as notes:
        logging.getLogger("transformers").warning("before it broke")
        raise OSError("broken")
    assert notes == ["before it broke"]


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("Some weights were newly initialized: ['b.weight', 'a.bias'] You should", ["a.bias", "b.weight"]),
        ("newly initialized: {('model', 'shared', 'embedding')} You should", ["model/shared/embedding"]),
        ("not used when initializing X: {('lm_head', 'kernel'), ('v',)} - This IS", ["lm_head/kernel", "v"]),
        ("All the weights were initialized.", []),
        ("at [somewhere] nothing is listed", []),
    ],
)
def test_names_are_read_from_a_message(message: str, names: list[str]) -> None:
    assert common.names_in(message) == names


@pytest.mark.parametrize(
    ("files", "format", "stored"),
    [
        (("pytorch_model.bin",), None, {"pt"}),
        (("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"), None, {"pt"}),
        (("tf_model.h5",), None, {"tf"}),
        (("flax_model.msgpack", "tf_model.h5"), None, {"flax", "tf"}),
        ((), "pt", {"pt"}),
        ((), "tf", {"tf"}),
        ((), "", {"pt"}),
        (("model.safetensors",), None, {"pt"}),
    ],
)
def test_who_a_directory_was_written_for(tmp_path: Path, files: tuple[str, ...], format: str, stored: set[str]) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"garbage")
    if format is not None:
        metadata = {"format": format} if format else None
        save_file({"a": np.zeros(1)}, tmp_path / "model.safetensors", metadata=metadata)
    assert stored_for(tmp_path) == stored


def test_a_conversion_flag_only_where_it_is_needed(tmp_path: Path) -> None:
    assert flags_needed(tmp_path, "tf", ("pt",)) == {}
    (tmp_path / "pytorch_model.bin").touch()
    assert flags_needed(tmp_path, "tf", ("pt",)) == {"from_pt": True}
    assert flags_needed(tmp_path, "pt", ("tf", "flax")) == {}
    (tmp_path / "tf_model.h5").touch()
    assert flags_needed(tmp_path, "tf", ("pt",)) == {}
    assert common.route_name({"from_pt": True}) == "from_pt=True"
    assert common.route_name({}) == "plain"


@pytest.mark.parametrize(
    ("raw", "layout", "wanted"),
    [
        ("model.encoder.layers.1.fc1.weight", "torch", ("model.encoder.layers.1.fc1.weight", False, True)),
        ("model.decoder.embed_tokens.weight", "torch", ("model.decoder.embed_tokens.weight", False, True)),
        ("model.encoder.embed_tokens.weight", "torch", ("model.encoder.embed_tokens.weight", False, True)),
        ("lm_head/kernel", "flax", ("lm_head.weight", True, True)),
        ("model/encoder/layers/1/fc1/kernel", "flax", ("model.encoder.layers.1.fc1.weight", True, True)),
        ("final_logits_bias", "flax", ("final_logits_bias", False, False)),
        ("model.encoder.adapter.weight", "torch", ("model.encoder.adapter.weight", False, True)),
    ],
)
def test_names_are_canonical_and_duplicates_keep_their_own(raw: str, layout: str, wanted: tuple) -> None:
    assert common.parameter_name(raw, layout, table_of(BART)) == wanted


def test_loading_errors_are_notes() -> None:
    info = {"mismatched_keys": [("a", (1, 2), (2, 1))], "error_msgs": ["no"], "missing_keys": []}
    assert common.loading_errors(info) == ["mismatched: a (1, 2) (2, 1)", "no"]


def test_versions() -> None:
    assert common.version_of("numpy") >= (1, 26)
    assert common.version_of("no-such-distribution") == ()


@pytest.mark.parametrize("kind", ["Flax", "TF 2.0"])
def test_a_conversion_to_torch_says_in_its_warnings_alone_what_is_new_and_what_was_not_used(kind):
    new = f"were not initialized from the {kind} model and are newly initialized"
    notes = [
        f"Some weights of the {kind} model were not used when initializing the PyTorch model BartModel: ['a.bias']",
        f"Some weights of BartModel {new}: ['b.weight'] You",
    ]
    others = [f"Some weights of BertModel {new}: ['c'] You", "Some layers of BartModel are newly initialized: ['d']"]
    found = common.conversion_info([*notes, *others], "BartModel")
    assert found == {"missing_keys": ["b.weight"], "unexpected_keys": ["a.bias"]}
    assert common.conversion_info(others, "BartModel") == {"missing_keys": [], "unexpected_keys": []}
