"""Several weight files in one directory: one model in all of them passes, and whatever parts them is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from parity.backends.registry import get_backend
from parity.capture.worker.operations import perform
from parity.capture.worker.session import Clock, Session
from parity.cases import files
from parity.checkpoint.inspection import inspect_checkpoint
from parity.checkpoint.weight_precedence import file_read
from parity.core.records import SubjectRecord, Verdict
from parity.core.resources import fixture
from parity.core.subject import Variant
from parity.judge.judge import judge
from tests.judge.sample_runs import cells, write_facts

Weights = dict[str, np.ndarray]
NAME = "model.decoder.layers.0.fc1.weight"
BACKENDS = (("reference-torch", "oracle"), ("file", "file"), ("hf-torch", "candidate"), ("hf-tf", "candidate"))


def bin_of(weights: Weights, folder: Path) -> None:
    torch.save({name: torch.from_numpy(array) for name, array in weights.items()}, folder / "pytorch_model.bin")


def shards_of(weights: Weights, folder: Path) -> None:
    names = sorted(weights)
    parts = {f"model-{place}-of-2.safetensors": names[place::2] for place in (0, 1)}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def verdicts(
    folder: Path, other: Callable[[Weights], Weights], write=bin_of, first: Callable[[Weights], Weights] | None = None
) -> list[Verdict]:
    """FILE05 on a copy of a fixture beside whose weights lies another file, made of the same weights changed.

    Args:
        first: changes what the first file holds as well.
    """
    place = folder / "checkpoint"
    shutil.copytree(fixture("bart-odd"), place)
    weights = load_file(place / "model.safetensors")
    if first is not None:
        weights = first(weights)
        save_file(weights, place / "model.safetensors")
    write(other({name: array.copy() for name, array in weights.items()}), place)
    checkpoint = inspect_checkpoint(place)
    cases = [case for case in files.file_cases(checkpoint.model_spec, place) if case.operation == "weight_files"]
    backend = get_backend("file")
    asked = {"device": "cpu", "dtype": "float32", "model_class": checkpoint.model_class}
    model = backend.load(place, Variant(), **asked)
    session = Session(lambda: model, lambda: model, Variant(), Clock())
    answers = {(1, case.name): perform(case, session) for case in cases if not case.requires}
    subjects = [
        SubjectRecord(
            backend=name,
            variant="eager",
            stack="main",
            device="cpu",
            dtype="float32",
            role=role,
            label=name,
            model_class="BartForConditionalGeneration",
            documented_class="BartForConditionalGeneration",
            capabilities=[],
            environment="main",
        )
        for name, role in BACKENDS
    ]
    write_facts(folder, checkpoint, subjects, cases, answers)
    return cells(judge(folder, checks=["FILE05"]), "FILE05")


def same(weights: Weights) -> Weights:
    return weights


def tables_under_all_names(weights: Weights) -> Weights:
    """As ``save_pretrained(safe_serialization=False)`` of 4.x writes a shared table."""
    table = weights["model.shared.weight"]
    names = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    return {**weights, **dict.fromkeys(names, table)}


def halved(weights: Weights) -> Weights:
    with np.errstate(over="ignore"):
        return {name: array.astype(np.float16) for name, array in weights.items()}


def with_a_nan(weights: Weights) -> Weights:
    weights[NAME][0, 0] = np.nan
    return weights


@pytest.mark.parametrize(
    ("other", "write", "first"),
    [
        (same, bin_of, None),
        (tables_under_all_names, bin_of, None),
        (same, shards_of, None),
        (halved, bin_of, None),
        (same, bin_of, with_a_nan),
    ],
    ids=["bin", "tables", "shards", "half", "nan"],
)
def test_files_that_hold_one_model_pass(tmp_path, other, write, first):
    (verdict,) = verdicts(tmp_path, other, write, first)
    assert (verdict.status, verdict.evidence["compared"]) == ("pass", 1)


def one_bit(weights: Weights) -> Weights:
    weights[NAME].view(np.uint32)[1, 0] ^= 1
    return weights


def one_weight(weights: Weights) -> Weights:
    weights[NAME][1, 0] = 9.5
    return weights


def without_one(weights: Weights) -> Weights:
    return {name: array for name, array in weights.items() if name != NAME}


def a_table_apart(weights: Weights) -> Weights:
    return {**tables_under_all_names(weights), "lm_head.weight": weights["model.shared.weight"] + np.float32(1)}


def half_of_others(weights: Weights) -> Weights:
    return halved(one_weight(weights))


def too_large_for_half(weights: Weights) -> Weights:
    weights[NAME][1, 0] = 1e6
    return weights


def misshapen(weights: Weights) -> Weights:
    return {**weights, NAME: weights[NAME][:-1]}


@pytest.mark.parametrize(
    ("other", "write", "first", "words"),
    [
        (one_bit, bin_of, None, ("differ in 1 of", f"most in {NAME}", "at [1, 0]")),
        (one_weight, bin_of, None, ("differ in 1 of", "9.5", "× the tensor's root mean square")),
        (one_weight, shards_of, None, ("model.safetensors and model.safetensors.index.json differ in 1 of",)),
        (without_one, bin_of, None, (f"{NAME} is in model.safetensors and missing from pytorch_model.bin",)),
        (a_table_apart, bin_of, None, ("pytorch_model.bin: lm_head.weight differs from the table it is tied to",)),
        (half_of_others, bin_of, None, ("differ in 1 of",)),
        (halved, bin_of, too_large_for_half, ("differ in 1 of", "inf")),
        (misshapen, bin_of, None, ("shapes [",)),
    ],
)
def test_what_parts_two_files_is_named(tmp_path, other, write, first, words):
    (verdict,) = verdicts(tmp_path, other, write, first)
    assert verdict.status == "fail"
    for word in words:
        assert word in verdict.reason


def test_a_failure_says_which_implementation_reads_which_file(tmp_path):
    (verdict,) = verdicts(tmp_path, one_weight)
    assert "model.safetensors is read by hf-torch; pytorch_model.bin is read by hf-tf" in verdict.reason


def test_a_file_that_holds_more_than_tensors_is_named_and_not_read(tmp_path):
    def write(weights: Weights, folder: Path) -> None:
        torch.save({"a": print}, folder / "pytorch_model.bin")

    (verdict,) = verdicts(tmp_path, same, write)
    assert verdict.status == "fail" and "pytorch_model.bin cannot be read: " in verdict.reason


def test_a_format_without_a_reader_is_skipped_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)

    def write(weights: Weights, folder: Path) -> None:
        (folder / "tf_model.h5").write_bytes(b"")

    (verdict,) = verdicts(tmp_path, same, write)
    assert verdict.status == "skip" and "h5py, which is not installed" in verdict.reason


def test_one_weight_file_is_compared_with_nothing():
    path = fixture("bart-odd")
    cases = files.file_cases(inspect_checkpoint(path).model_spec, path)
    assert not [case for case in cases if case.operation == "weight_files"]


@pytest.mark.parametrize(
    ("backend", "version", "from_pt", "there", "read"),
    [
        ("hf-torch", (4, 57, 6), False, ("pytorch_model.bin", "model.safetensors"), "model.safetensors"),
        ("hf-torch", (5, 23, 0), False, ("pytorch_model.bin", "tf_model.h5"), "pytorch_model.bin"),
        ("hf-tf", (4, 57, 6), True, ("pytorch_model.bin", "model.safetensors"), "pytorch_model.bin"),
        ("hf-tf", (4, 57, 6), False, ("tf_model.h5", "model.safetensors"), "model.safetensors"),
        ("hf-tf", (4, 57, 6), False, ("tf_model.h5", "model.safetensors.index.json"), "model.safetensors.index.json"),
        ("hf-tf", (4, 37, 2), False, ("tf_model.h5", "model.safetensors.index.json"), "tf_model.h5"),
        ("hf-flax", (4, 57, 6), False, ("flax_model.msgpack", "model.safetensors"), "flax_model.msgpack"),
        ("hf-flax", (4, 57, 6), True, ("pytorch_model.bin", "model.safetensors"), "model.safetensors"),
        ("reference-flax", (), False, ("flax_model.msgpack", "pytorch_model.bin"), "pytorch_model.bin"),
        ("somebody-s", (), False, ("model.safetensors",), None),
    ],
)
def test_every_library_s_order_of_files(backend, version, from_pt, there, read):
    assert file_read(backend, version, there, from_pt) == read
