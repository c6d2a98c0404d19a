"""A checkpoint with other fields in its config."""

from __future__ import annotations

import json

import pytest

from parity.capture.worker.other_config import with_other_config


def test_the_files_are_the_checkpoints_but_for_the_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"dropout": 0.1, "d_model": 8}), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with with_other_config(tmp_path, {"dropout": 0.0, "attention_dropout": 0.5}) as folder:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert config == {"dropout": 0.0, "attention_dropout": 0.5, "d_model": 8}
        assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not folder.exists()
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["dropout"] == 0.1


def test_a_config_that_is_not_json_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="Expecting"), with_other_config(tmp_path, {}):
        pass
