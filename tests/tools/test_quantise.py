"""Checkpoints with rounded weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.errors import InputError, OutputError
from parity.core.resources import fixture
from parity.tools.quantise import RECORD, SCHEMES, TABLES, quantise, rounded

MATRIX = np.random.default_rng(3).normal(0, 1, (7, 11)).astype(np.float32)


@pytest.mark.parametrize("name", SCHEMES)
def test_rounding_is_idempotent_and_moves_each_element_by_half_a_step(name):
    scheme = SCHEMES[name]
    once = rounded(MATRIX, scheme)
    assert once.dtype == np.float32 and not np.array_equal(once, MATRIX)
    np.testing.assert_allclose(rounded(once, scheme), once, rtol=0, atol=1e-6)
    if scheme.bits:
        axis = 1 if scheme.per_channel else None
        width = (
            np.ptp(MATRIX, axis=axis, keepdims=True)
            if not scheme.symmetric
            else 2 * np.abs(MATRIX).max(axis=axis, keepdims=True)
        )
        assert (np.abs(once - MATRIX) <= 0.5001 * width / (2**scheme.bits - 2)).all()


def test_int8_per_tensor_is_torch_s():
    scale = float(np.abs(MATRIX).max()) / 127
    theirs = torch.fake_quantize_per_tensor_affine(torch.from_numpy(MATRIX), scale, 0, -127, 127).numpy()
    np.testing.assert_allclose(rounded(MATRIX, SCHEMES["int8"]), theirs, rtol=1e-6, atol=1e-7)


def test_int8_per_channel_is_torch_s():
    scales = torch.from_numpy(np.abs(MATRIX).max(axis=1) / 127)
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(torch.from_numpy(MATRIX), scales, zeros, 0, -127, 127).numpy()
    np.testing.assert_allclose(rounded(MATRIX, SCHEMES["int8-per-channel"]), theirs, rtol=1e-6, atol=1e-7)


def test_a_row_of_zeros_stays_zero():
    matrix = MATRIX.copy()
    matrix[2] = 0
    for scheme in SCHEMES.values():
        assert not rounded(matrix, scheme)[2].any() and np.isfinite(rounded(matrix, scheme)).all()


@pytest.mark.parametrize("tables", [False, True])
def test_a_checkpoint_keeps_everything_but_its_matrices(tmp_path, tables):
    source = fixture("bart-tiny")
    found = quantise(source, tmp_path / "int8", "int8-per-channel", tables=tables)
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "int8" / "model.safetensors")
    changed = {name for name in after if not np.array_equal(before.get(name), after[name])}
    assert changed and len(changed) == found.matrices
    assert "final_logits_bias" not in changed
    assert all(after[name].ndim == 2 and (tables or not name.endswith(TABLES)) for name in changed)
    assert inspect_checkpoint(tmp_path / "int8").config == inspect_checkpoint(source).config
    record = json.loads((tmp_path / "int8" / RECORD).read_text())
    assert record["source"] == inspect_checkpoint(source).digest and record["scheme"]["name"] == "int8-per-channel"
    assert set(record["largest_change"]) == changed and 0 < found.largest < 0.01


def test_what_cannot_be_quantised_is_refused(tmp_path):
    with pytest.raises(InputError, match="no quantisation scheme is called int9; did you mean int8"):
        quantise(fixture("bart-tiny"), tmp_path / "out", "int9")
    with pytest.raises(InputError, match="only a BART or mBART"):
        quantise(fixture("bert2bert"), tmp_path / "out", "int8")
    shutil.copytree(fixture("bart-tiny"), tmp_path / "out")
    with pytest.raises(OutputError, match="exists already"):
        quantise(fixture("bart-tiny"), tmp_path / "out", "int8")
