"""CTranslate2: the converted checkpoint passes, and every fault of a conversion is found and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parity import InputError, api
from parity.backends.engines.conversion import RECORD

pytest.importorskip("ctranslate2")

from parity.backends.engines.ctranslate2_backend import CTranslate2
from parity.backends.engines.ctranslate2_files import variables, write_variables
from parity.core.subject import Variant

CLASS = "BartForConditionalGeneration"
VOCABULARY = "shared_vocabulary.json"
CHECKS = ["LOAD01", "LOAD02", "NUM04", "LOSS01", "GEN02", "GEN03", "GEN04"]


@pytest.fixture(scope="session")
def files(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that is converted from it."""
    engine = CTranslate2()
    engine.setup(threads=1, device="cpu", cache=tmp_path_factory.mktemp("cache") / "compiled")
    return engine.load(checkpoint, Variant(), device="cpu", dtype="float32", model_class=CLASS).directory


@pytest.mark.full
def test_a_converted_checkpoint_passes(checkpoint, cache, tmp_path):
    report = api.audit([checkpoint], backends=["ctranslate2"], out=tmp_path / "run", cache=cache)
    verdicts = [each for each in report.verdicts if each.status != "skip"]
    assert {each.status for each in verdicts} == {"pass"}
    assert {"LOAD01", "NUM04", "LOSS01", "GEN02", "GEN03", "GEN04", "SCORE01"} <= {each.check for each in verdicts}


def scaled(found, name, row=None, factor=1.0):
    value = found[name].copy()
    value[slice(None) if row is None else row] *= np.float32(factor)
    return {**found, name: value}


def swapped_layers(found):
    names = {"encoder/layer_0/": "encoder/layer_1/", "encoder/layer_1/": "encoder/layer_0/"}
    return {
        next((to + name[len(at) :] for at, to in names.items() if name.startswith(at)), name): value
        for name, value in found.items()
    }


def swapped_thirds(found):
    name = "decoder/layer_0/self_attention/linear_0/weight"
    query, key, values = np.split(found[name], 3)
    return {**found, name: np.concatenate([key, query, values])}


def transposed(found):
    name = "decoder/layer_1/self_attention/linear_1/weight"
    return {**found, name: np.ascontiguousarray(found[name].T)}


def rounded(found):
    """The head in int8, one scale a row."""
    name = "decoder/projection/weight"
    scale = np.abs(found[name]).max(axis=1, keepdims=True).clip(1e-9) / 127
    return {**found, name: (np.round(found[name] / scale) * scale).astype(np.float32)}


def shifted(found):
    name = "decoder/position_encodings/encodings"
    return {**found, name: np.roll(found[name], 2, axis=0)}


def tanh(found):
    return {**found, **{f"{half}/activation": np.array(1, np.int8) for half in ("encoder", "decoder")}}


FAULTS = {
    "one row of one layer off by 1 %": lambda found: scaled(found, "encoder/layer_1/ffn/linear_0/weight", 3, 1.01),
    "the tanh form of gelu": tanh,
    "a lost bias": lambda found: scaled(found, "decoder/layer_0/self_attention/linear_1/bias", None, 0.0),
    "the lost bias of the logits": lambda found: {k: v for k, v in found.items() if k != "decoder/projection/bias"},
    "the lost scale of the embeddings": lambda found: {**found, "encoder/scale_embeddings": np.array(1, np.float32)},
    "layers in another order": swapped_layers,
    "query and key swapped": swapped_thirds,
    "a transposed weight": transposed,
    "the head in int8": rounded,
    "positions shifted by two": shifted,
    "another number of heads": lambda found: {**found, "decoder/num_heads": np.array(2, np.int16)},
}
"""Of ``model.bin``."""
NAMED = {
    "one row of one layer off by 1 %": "model.encoder.layers.1.fc1.weight",
    "a lost bias": "model.decoder.layers.0.self_attn.out_proj.bias",
    "the lost bias of the logits": "final_logits_bias",
    "layers in another order": "model.encoder.layers.1.",
    "query and key swapped": "model.decoder.layers.0.self_attn.q_proj.weight",
    "a transposed weight": "model.decoder.layers.1.self_attn.out_proj.weight",
    "the head in int8": "lm_head.weight",
    "positions shifted by two": "model.decoder.embed_positions.weight",
}
"""The first wrong parameter, of the faults that change one."""
ELSEWHERE = {
    "the tanh form of gelu": "NUM04",
    "the lost scale of the embeddings": "NUM04",
    "another number of heads": "NUM04",
    "another start token": "GEN02",
}
"""The check that finds the others."""


def start_token(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "decoder_start_token": "token0"}))


def exchanged_words(folder):
    words = json.loads((folder / VOCABULARY).read_text())
    words[10], words[11] = words[11], words[10]
    (folder / VOCABULARY).write_text(json.dumps(words))


def damaged(files: Path, folder: Path, fault: str) -> Path:
    shutil.copytree(files, folder)
    (folder / RECORD).unlink()
    if fault in FAULTS:
        write_variables(folder, FAULTS[fault](variables(folder)))
    else:
        start_token(folder)
    return folder


@pytest.mark.full
@pytest.mark.parametrize("fault", [*FAULTS, "another start token"])
def test_a_fault_in_the_files_is_found(fault, checkpoint, files, cache, tmp_path):
    folder = damaged(files, tmp_path / "given", fault)
    report = api.audit(
        [checkpoint],
        backends=["ctranslate2"],
        converted=folder,
        checks=CHECKS,
        references=("reference-torch",),
        out=tmp_path / "run",
        cache=cache,
    )
    failed = {}
    for each in report.verdicts:
        if each.status == "fail":
            failed.setdefault(each.check, each.reason)
    assert failed
    found = failed["LOAD01"] if fault in NAMED else failed[ELSEWHERE[fault]]
    assert found.startswith(NAMED.get(fault, "")), found


def test_files_that_cannot_be_used_are_refused_in_one_line(checkpoint, files, tmp_path):
    def refusal(folder):
        with pytest.raises(InputError) as found:
            api.audit([checkpoint], backends=["ctranslate2"], converted=folder, out=tmp_path / "run")
        assert "\n" not in str(found.value)
        return str(found.value)

    folder = tmp_path / "given"
    shutil.copytree(files, folder)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:5000])
    assert "changed since it was converted" in refusal(folder)
    (folder / RECORD).unlink()
    assert "truncated at byte 5000" in refusal(folder)
    (folder / "model.bin").write_bytes(b"\7\0\0\0" + (files / "model.bin").read_bytes()[4:])
    assert "binary version 7, known is 6" in refusal(folder)
    shutil.copy(files / "model.bin", folder)
    (folder / VOCABULARY).write_text("[]" * 2)
    assert "cannot be read" in refusal(folder)
    (folder / VOCABULARY).unlink()
    assert f"has no {VOCABULARY}" in refusal(folder)
    (folder / "model.bin").unlink()
    assert "has no model.bin" in refusal(folder)


def test_written_variables_are_read_back(files, tmp_path):
    found = variables(files)
    write_variables(tmp_path, found)
    again = variables(tmp_path)
    assert list(again) == list(found)
    assert all(again[name].dtype == value.dtype and (again[name] == value).all() for name, value in found.items())
