"""Graphs of optimum-onnx: encoder, decoder, decoder with past, and merged."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from typing import Any

import pytest

from parity import api
from tests.engines.onnx_faults import OF_PARTS, Graph

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnx", "optimum")),
        reason="onnxruntime, onnx or optimum-onnx is not installed: pip install 'encdec-parity[engines]'",
    ),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random BART with as many heads in the encoder as in the decoder, which optimum-onnx needs."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    halves: dict[str, Any] = {"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
    halves |= {name.replace("encoder", "decoder"): value for name, value in halves.items()}
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=120, d_model=32, max_position_embeddings=64, init_std=0.15, scale_embedding=True, **halves
    )
    folder = tmp_path_factory.mktemp("equal-heads")
    BartForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """The four graphs, from a process of their own."""
    folder = tmp_path_factory.mktemp("optimum")
    code = "from optimum.exporters.onnx import main_export; import sys; "
    code += "main_export(sys.argv[1], sys.argv[2], task='text2text-generation-with-past')"
    command = [sys.executable, "-c", code, str(checkpoint), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert (folder / "decoder_model_merged.onnx").is_file(), ended.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def run(checkpoint, cache, tmp_path_factory):
    def audit(converted, checks=("numbers", "cache")):
        return api.audit(
            [checkpoint],
            backends=["onnxruntime"],
            converted=converted,
            checks=checks,
            references=["reference-torch"],
            cache=cache,
            out=tmp_path_factory.mktemp("run"),
        )

    return audit


def passed(report):
    return {verdict.check for verdict in report.verdicts if verdict.status == "pass"}


def test_four_graphs_pass_with_steps_and_texts(run, exported):
    report = run(exported, ("numbers", "outputs", "cache", "generation"))
    assert not report.failures
    assert {"NUM04", "CACHE01", "CACHE02", "CACHE03", "CACHE04", "GEN02", "GEN03"} <= passed(report)


def test_the_merged_decoder_passes_with_steps(run, exported, tmp_path):
    merged = shutil.copytree(exported, tmp_path / "merged")
    (merged / "decoder_model.onnx").unlink()
    (merged / "decoder_with_past_model.onnx").unlink()
    report = run(merged)
    assert not report.failures and {"NUM04", "CACHE01", "CACHE03", "CACHE04"} <= passed(report)


def test_without_a_past_steps_are_skipped_by_name(run, exported, tmp_path):
    without = shutil.copytree(exported, tmp_path / "without")
    (without / "decoder_model_merged.onnx").unlink()
    (without / "decoder_with_past_model.onnx").unlink()
    report = run(without)
    assert not report.failures and "CACHE01" not in passed(report)
    assert any("there is neither decoder_with_past_model.onnx" in verdict.reason for verdict in report.verdicts)


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_fault_in_a_graph_is_found(run, exported, tmp_path, name):
    file, edit, checks = OF_PARTS[name]
    edited = shutil.copytree(exported, tmp_path / "edited")
    graph = Graph(edited / file)
    edit(graph)
    graph.onnx.save(graph.model, edited / file)
    assert checks <= {verdict.check for verdict in run(edited).failures}
