"""A checkpoint is found readable, or not, before anything is captured."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.numpy import load_file

from fixtures.make import CHECKPOINTS, FIXTURES
from parity.checkpoint.inspection import inspect_checkpoint, resolve_checkpoint
from reference.errors import CheckpointError


@pytest.fixture
def copy(tmp_path):
    """A fixture one may damage."""
    return shutil.copytree(CHECKPOINTS / "bart-odd", tmp_path / "bart-copy")


@pytest.mark.parametrize("name", [fixture.name for fixture in FIXTURES])
def test_inspects_a_fixture(name):
    found = inspect_checkpoint(CHECKPOINTS / name)
    assert (found.name, found.format) == (name, "safetensors")
    writes = found.model_spec.generates
    assert found.files == ("config.json", *(["generation_config.json"] if writes else []), "model.safetensors")
    arrays = load_file(CHECKPOINTS / name / "model.safetensors").values()
    assert found.weight_bytes == 4 * sum(array.size for array in arrays)
    stored = json.loads((CHECKPOINTS / name / "config.json").read_text())
    assert found.model_class == stored["architectures"][0]
    assert _within(stored, found.config)
    json.dumps(found.config)


def _within(stored, held):
    """Whether everything stored is held, in a composition's halves too."""
    return all(_within(v, held[k]) if isinstance(v, dict) else held[k] == v for k, v in stored.items())


def test_documented_defaults_are_filled_in(copy):
    raw = json.loads((copy / "config.json").read_text())
    del raw["forced_eos_token_id"], raw["use_cache"]
    (copy / "config.json").write_text(json.dumps(raw))
    config = inspect_checkpoint(copy).config
    assert (config["forced_eos_token_id"], config["use_cache"]) == (2, True)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors", "vocab.json"])
def test_the_digest_is_of_what_matters(copy, name):
    before = inspect_checkpoint(copy).digest
    assert before == inspect_checkpoint(CHECKPOINTS / "bart-odd").digest
    (copy / "README.md").write_text("hello")
    (copy / "provenance.json").unlink()
    assert inspect_checkpoint(copy).digest == before
    content = bytearray((copy / name).read_bytes() if (copy / name).exists() else b"{}")
    content[-2:] = b" }" if name.endswith("json") and len(content) > 2 else b"{}"
    (copy / name).write_bytes(content)
    assert inspect_checkpoint(copy).digest != before


def test_weights_of_a_format_not_read_first_are_in_the_digest(copy):
    before = inspect_checkpoint(copy)
    (copy / "tf_model.h5").write_bytes(b"anything")
    after = inspect_checkpoint(copy)
    assert after.format == "safetensors" and after.digest != before.digest and "tf_model.h5" in after.files


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("config.json", None, "config.json: no such file"),
        ("config.json", b"{", "config.json: not JSON: "),
        ("generation_config.json", b"[]", "generation_config.json: contains an array, not a JSON object"),
        ("generation_config.json", b"oops", "generation_config.json: not JSON: "),
        ("model.safetensors", None, "bart-copy: no weight file"),
        ("model.safetensors", b"garbage, and nothing but garbage", "model.safetensors: header of "),
    ],
)
def test_bad_input_gets_one_line(copy, name, content, cause):
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        inspect_checkpoint(copy)
    assert cause in str(error.value) and "\n" not in str(error.value)


def test_a_truncated_weight_file_is_bad_input(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: truncated"):
        inspect_checkpoint(copy)


def test_a_directory_stands_for_itself(copy, monkeypatch):
    assert resolve_checkpoint(str(copy)) == copy
    monkeypatch.chdir(copy.parent)
    assert inspect_checkpoint(resolve_checkpoint("bart-copy", offline=True)).name == "bart-copy"


@pytest.mark.parametrize("text", ["/nowhere/at/all", "./nowhere", "nowhere/", "a/b/c", "~/nowhere", "", "a b"])
def test_what_looks_like_a_path_is_not_looked_up(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"no such directory$"):
        resolve_checkpoint(text)


def test_below_a_directory_that_exists_a_name_is_a_path(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"models/nowhere: no such directory$"):
        resolve_checkpoint("models/nowhere")


def test_a_file_is_no_checkpoint(copy):
    with pytest.raises(CheckpointError, match=r"config\.json: a single file: .* \[not a directory\]$"):
        resolve_checkpoint(str(copy / "config.json"))


def test_a_hub_id_offline_is_found_in_the_cache_or_not(tmp_path):
    pytest.importorskip("huggingface_hub", reason="looks in its cache")
    with pytest.raises(CheckpointError, match=r"^owner/name: no such directory; as a hub id: it is not in the cache"):
        resolve_checkpoint("owner/name", offline=True, cache=tmp_path)
    repository = tmp_path / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(CHECKPOINTS / "bart-odd", repository / "snapshots" / ("0" * 40))
    found = resolve_checkpoint("owner/name", offline=True, cache=tmp_path)
    assert inspect_checkpoint(found).name == "owner--name"


def test_without_the_hub_library_an_id_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="as a hub id it needs the package huggingface_hub"):
        resolve_checkpoint("owner/name")
