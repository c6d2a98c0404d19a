"""What of a directory a backend is given, and which backends are not given it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from parity.capture.refusals import chosen, refusal
from parity.capture.views import Views
from parity.checkpoint.conversion import flags_needed
from parity.checkpoint.files import examine, list_files
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core import backends
from parity.core.resources import fixture
from reference.errors import CheckpointError

LIBRARIES = ("hf-torch", "hf-tf", "hf-flax", "hf-config", "hf-tokenizer", "hf-tokenizer-fast")
OURS = ("file", "reference-torch", "reference-flax")


@pytest.fixture
def directory(tmp_path):
    """A checkpoint of its own, which may be altered."""
    place = tmp_path / "checkpoint"
    shutil.copytree(fixture("bart-tiny"), place)
    return place


def change(directory, name="config.json", **fields):
    path = directory / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


def evil(path):
    """An archive as torch.save makes one, whose pickle asks for a command."""

    class Command:
        def __reduce__(self):
            return os.system, (f"touch {path}.ran",)

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"a": Command()}, 2))
        archive.writestr("a/version", "3")


def refusals(directory, *backends):
    """By backend, why it is not given the directory; those that are given it are left out."""
    found = inspect_checkpoint(directory)
    all_of_them = {name: refusal(name, directory, found.files, found.unexamined) for name in backends or LIBRARIES}
    return {name: why for name, why in all_of_them.items() if why}


def viewed(directory, tmp_path):
    found = inspect_checkpoint(directory)
    with Views(tmp_path / "views") as views:
        place = views.make(directory, found.handed, frozenset(found.unexamined))
        return {path.name: path.stat().st_size for path in place.iterdir()}


def test_what_is_no_known_file_is_not_handed_over_and_is_listed(directory, tmp_path):
    (directory / "custom_generate").mkdir()
    others = (
        "custom_generate/generate.py",
        "modeling.py",
        "adapter_config.json",
        "chat_template.jinja",
        "optimizer.pt",
        "training_args.bin",
        "model.fp16.safetensors",
        "pytorch_model.bin.old",
        "preprocessor_config.json",
        "model-00001-of-00002.safetensors",
    )
    for name in others:
        (directory / name).write_text("{}")
    found = inspect_checkpoint(directory)
    assert set(found.unused) >= {"custom_generate/", "provenance.json", *others[1:]}
    assert (
        set(viewed(directory, tmp_path))
        == set(found.files)
        == {
            "config.json",
            "generation_config.json",
            "merges.txt",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.json",
        }
        & set(found.files)
    )
    assert found.digest == inspect_checkpoint(fixture("bart-tiny")).digest
    assert refusals(directory) == {}


def test_a_directory_of_many_files_is_listed_in_part(directory):
    for number in range(300):
        (directory / f"step-{number:03}.log").touch()
    assert len(inspect_checkpoint(directory).unused) == 201
    assert inspect_checkpoint(directory).unused[-1].startswith("… and 1")


def test_links_of_a_hubs_snapshot_are_followed_and_their_files_viewed(directory, tmp_path):
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    snapshot.mkdir()
    directory.rename(blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(Path("..") / "blobs" / path.name)
    assert inspect_checkpoint(snapshot).digest == inspect_checkpoint(blobs).digest
    assert viewed(snapshot, tmp_path)["config.json"] == (blobs / "config.json").stat().st_size


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "pytorch_model.bin", "tf_model.h5.index.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a pipe", "link to itself"])
def test_what_is_no_regular_file_is_refused_unopened(directory, name, kind):
    path = directory / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a pipe":
        os.mkfifo(directory / "other")
        path.symlink_to("other")
    else:
        path.symlink_to(name)
    with pytest.raises(CheckpointError, match=r"not a regular file|cannot be followed") as error:
        inspect_checkpoint(directory)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "spiece.model",
        "special_tokens_map.json",
        "pytorch_model.bin.index.json",
    ],
)
def test_what_is_no_weight_file_has_a_size_and_is_not_even_digested_beyond_it(directory, name):
    with (directory / name).open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(CheckpointError, match=f"{name}: larger than [0-9]+ MB"):
        inspect_checkpoint(directory)


def test_a_link_to_nothing_is_no_file(directory):
    (directory / "pytorch_model.bin").symlink_to("nowhere")
    found = inspect_checkpoint(directory)
    assert "pytorch_model.bin" not in found.files and "pytorch_model.bin" in found.unused


def test_a_pickle_beside_safetensors_stops_who_would_read_it_and_nobody_else(directory, tmp_path):
    evil(directory / "pytorch_model.bin")
    assert set(refusals(directory)) == {"hf-tf"}, "which prefers it where from_pt is passed"
    (why,) = refusals(directory).values()
    assert why.startswith("pytorch_model.bin, which this backend would read") and "system" in why
    assert refusals(directory, *OURS) == {}
    assert viewed(directory, tmp_path)["pytorch_model.bin"] == 0, "it is there, so that nobody reads another file"
    assert not (directory / "pytorch_model.bin.ran").exists()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ({"weight_map": {"a": "../outside.bin"}}, "outside the directory"),
        ({"weight_map": {"a": "/etc/passwd"}}, "outside the directory"),
        ({"weight_map": {"a": "gone.bin"}}, "missing"),
        ({"weight_map": {"a": "run.py"}}, "no known format"),
        ({"weight_map": {"a": "evil.bin"}}, "names the shard evil.bin: the pickle refers to"),
        ({"weight_map": []}, "no usable weight_map"),
        ([], "no usable weight_map"),
    ],
)
def test_an_index_that_cannot_be_examined_stops_who_would_read_it(directory, content, cause):
    """By its suffix a library tells how a shard is read, whatever index names it: a pickle named by safetensors too."""
    (directory / "run.py").write_text("")
    evil(directory / "evil.bin")
    (directory.parent / "outside.bin").write_text("")
    for index, stopped in (("pytorch_model.bin.index.json", {"hf-tf"}), ("tf_model.h5.index.json", set())):
        (directory / index).write_text(json.dumps(content))
        found = inspect_checkpoint(directory)
        assert cause in found.unexamined[index]
        assert stopped <= set(refusals(directory))
        (directory / index).unlink()
    weights = directory / "model.safetensors"
    weights.rename(directory / "whole.safetensors")
    (directory / "model.safetensors.index.json").write_text(json.dumps(content))
    assert cause in examine(list_files(directory))["model.safetensors.index.json"]


def test_a_file_that_leads_to_another_is_not_examined(directory):
    h5py = pytest.importorskip("h5py")
    for name, lead in {"link": h5py.ExternalLink("/elsewhere.h5", "/a"), "here": h5py.SoftLink("/b")}.items():
        with h5py.File(directory / "tf_model.h5", "w") as file:
            file["b"] = np.zeros(3, np.float32)
            file["group/" + name] = lead
        told = inspect_checkpoint(directory).unexamined
        assert ("from another file" in told["tf_model.h5"]) if name == "link" else told == {}


def test_a_program_of_torch_is_no_state_dict(directory):
    with zipfile.ZipFile(directory / "pytorch_model.bin", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/constants.pkl", b"")
    assert "torch.jit.save" in refusals(directory)["hf-tf"]


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "sub/m.safetensors", "evil.bin", "x.py", 7])
def test_weights_that_a_config_names_elsewhere_are_not_read(directory, name):
    evil(directory / "evil.bin")
    change(directory, transformers_weights=name)
    assert set(refusals(directory)) == {"hf-torch"} and "transformers_weights" in refusals(directory)["hf-torch"]


def test_weights_that_a_config_names_are_examined_digested_and_viewed(directory, tmp_path):
    before = inspect_checkpoint(directory).digest
    save_file({"a": np.zeros(2, np.float32)}, directory / "named.safetensors", {"format": "pt"})
    change(directory, transformers_weights="named.safetensors")
    named = inspect_checkpoint(directory)
    assert "named.safetensors" in named.files and named.digest != before and refusals(directory) == {}
    assert viewed(directory, tmp_path)["named.safetensors"]
    (directory / "named.safetensors").write_bytes(b"\xff" * 40)
    assert inspect_checkpoint(directory).digest != named.digest
    assert "named.safetensors, which this backend would read" in refusals(directory)["hf-torch"]


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
@pytest.mark.parametrize("value", ["kernels-community/flash-attn", {"": "eager", "decoder": "some/kernel@main"}])
def test_an_attention_of_a_hub_stops_who_would_fetch_it(directory, key, value):
    change(directory, **{key: value})
    assert set(refusals(directory)) == {"hf-torch"} and "fetch" in refusals(directory)["hf-torch"]


@pytest.mark.parametrize("key", ["vocab_file", "merges_file", "tokenizer_file"])
def test_a_tokenizers_file_elsewhere_is_not_read(directory, key):
    change(directory, "tokenizer_config.json", **{key: "/etc/passwd"})
    assert set(refusals(directory)) == {"hf-tokenizer", "hf-tokenizer-fast"}
    change(directory, "tokenizer_config.json", **{key: None, "special_tokens_map_file": "/home/x/map.json"})
    assert refusals(directory) == {}, "which nobody reads by that name"
    change(directory, "tokenizer_config.json", init_inputs=["/etc/passwd"])
    assert set(refusals(directory)) == {"hf-tokenizer", "hf-tokenizer-fast"}


def test_files_for_other_versions_of_a_library_are_viewed_or_refused(directory, tmp_path):
    shutil.copyfile(directory / "config.json", directory / "config.4.0.0.json")
    change(directory, configuration_files=["config.json", "config.4.0.0.json"])
    assert "config.4.0.0.json" in viewed(directory, tmp_path) and refusals(directory) == {}
    change(directory, "config.4.0.0.json", _attn_implementation="a/b")
    assert set(refusals(directory)) == {"hf-torch"}
    change(directory, configuration_files=["../config.4.0.0.json"])
    assert set(refusals(directory)) == set(LIBRARIES)


@pytest.mark.parametrize("key", ["transformers_weights", "configuration_files"])
def test_what_a_half_names_alone_is_not_looked_for(directory, key):
    change(directory, decoder={key: ["config.9.json"]})
    found = list_files(directory)
    assert f"{key} of its decoder" in refusal("hf-torch", directory, list(found.paths), {})


def test_a_stranger_to_the_table_is_given_nothing_that_cannot_be_examined(directory, monkeypatch):
    point = EntryPoint("somebodys", "somebodys:Kind", backends.ENTRY_POINTS)
    monkeypatch.setattr(backends, "entry_points", lambda group: [point])
    assert refusals(directory, "somebodys") == {}
    (directory / "flax_model.msgpack").write_bytes(b"\xff")
    assert "flax_model.msgpack" in refusals(directory, "somebodys")["somebodys"]


NAMES = ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")


@pytest.mark.parametrize("names", [NAMES, NAMES[1:], NAMES[2:], NAMES[:2], NAMES[3:]])
def test_the_view_changes_no_route(directory, names):
    """What else lies there is no file that a library looks for."""
    (directory / "model.safetensors").unlink()
    for name in names:
        (directory / name).write_bytes(b"")
    routes = {own: flags_needed(directory, own, ("pt", "tf", "flax")) for own in ("pt", "tf", "flax")}
    for name in ("pytorch_model.bin.bak", "model-old.safetensors", "tf_model.h5.tmp", "flax_model.msgpack~"):
        (directory / name).write_bytes(b"")
    assert routes == {own: flags_needed(directory, own, ("pt", "tf", "flax")) for own in routes}


@pytest.mark.parametrize(
    ("backend", "flags", "names", "read"),
    [
        ("hf-torch", (), NAMES, {"model.safetensors"}),
        ("hf-torch", ("from_tf",), ("tf_model.h5", "model.ckpt.index"), {"model.ckpt.index", "tf_model.h5"}),
        ("hf-torch", ("from_flax",), NAMES[3:], {"flax_model.msgpack"}),
        ("hf-tf", ("from_pt",), NAMES, {"pytorch_model.bin"}),
        ("hf-tf", (), NAMES, {"model.safetensors"}),
        ("hf-tf", (), ("model.safetensors.index.json", "tf_model.h5"), {"model.safetensors.index.json", "tf_model.h5"}),
        ("hf-flax", ("from_pt",), NAMES[:2], {"model.safetensors"}),
        ("hf-flax", ("from_pt",), NAMES[1:2], {"pytorch_model.bin"}),
        ("hf-flax", (), (), set()),
    ],
)
def test_which_weights_a_library_would_choose(backend, flags, names, read):
    """Where releases differ, all of them."""
    assert chosen(backend, flags, names) == read
