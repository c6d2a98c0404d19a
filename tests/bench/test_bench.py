"""The bench itself: that it runs end to end on a tiny model, and what it makes of seconds and tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.__main__ import cases
from tests.bench.summary import apart, broken, compiling, summarised
from tests.bench.task import SIZES
from tests.conftest import ROOT


def test_the_tiny_bench_runs_and_every_side_writes_the_same(tmp_path: Path) -> None:
    """PyTorch's half: the library's Flax class alone would take a minute to compile."""
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--framework", "torch", "--rounds", "2"]
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    done = subprocess.run([*command, "--out", out], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    (run,) = record["runs"]
    assert [(row["framework"], row["asked"], row["texts"]) for row in run["rows"]] == [
        ("torch", "greedy", "equal"), ("torch", "4 beams", "equal"),
    ]  # fmt: skip
    assert {tuple(shape) for row in run["rows"] for shape in row["shape"].values()} == {(4, 7)}
    assert all(len(side["all"]) == 2 for row in run["rows"] for side in row["seconds"].values())
    assert record["versions"]["transformers"] and record["machine"]["cores"] and run["threads"]["torch"]


def run_of(ours: list[float], tokens: list[list[int]]) -> dict[str, Any]:
    theirs = [[2, 5, 6], [2, 7, 7]]
    library, reference = {"seconds": [3.0, 4.0, 9.0], "tokens": theirs}, {"seconds": ours, "tokens": tokens}
    each = {"hf-flax": library, "reference-flax": reference}
    sides = {side: {"load": 1.0, "asked": {"greedy": found, "4 beams": found}} for side, found in each.items()}
    fresh = [
        {"side": side, "asked": asked, "first": first, "seconds": [1.0, 2.0, 9.0]}
        for side, first in (("hf-flax", 8.0), ("reference-flax", 4.0)) for asked in ("greedy", "4 beams")
    ]  # fmt: skip
    by = {"flax": {"sides": sides, "threads": {"flax": 2}}}
    return {"size": {"tokens": 2}, "device": "cpu", "dtype": "float32", "by": by, "fresh": fresh}


def test_ratios_are_those_of_medians_and_compiling_is_the_first_call_less_the_later_ones() -> None:
    row = summarised(run_of([2.0, 1.0, 8.0], [[2, 5, 6], [2, 7, 7]]))["rows"][0]
    assert row["ratio"] == 2.0
    assert row["ratio_by_turns"]["all"] == [1.5, 4.0, 9 / 8]
    assert row["compile"]["seconds"]["hf-flax"]["median"] == 6.0
    assert row["compile"]["ratio"] == 3.0
    assert row["texts"] == "equal"
    assert compiling([], "greedy") is None


def test_a_text_that_parts_is_named_and_one_that_is_short_makes_the_bench_fail() -> None:
    assert apart([[2, 5, 6], [2, 7, 7]], [[2, 5, 6], [2, 8, 7]]) == "row 1 parts at token 1"
    short = summarised(run_of([1.0, 1.0, 1.0], [[2, 5], [2, 7]]))
    assert "of different shape" in short["rows"][0]["texts"]
    faults = list(broken(short))
    assert any("reference-flax, greedy: made [2, 2], wanted [4, 3]" in fault for fault in faults)


def test_what_is_measured_where() -> None:
    assert cases(quick=False, device=False) == [("base", "cpu", "float32")]
    assert cases(quick=False, device=True)[1:] == [("large", "cuda", "float32"), ("large", "cuda", "bfloat16")]
    assert [SIZES["base"].config()[f"{part}_layers"] for part in ("encoder", "decoder")] == [6, 6]


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_fast_path_on_a_device(dtype: str) -> None:
    """Cached decoding there gives what the plain path gives there, within a few roundings."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: torch sees none")
    from reference import in_torch
    from reference.in_torch.fast import FastDecoder, FastModel
    from tests.reference import bart_samples as samples

    model = in_torch.build(samples.config("odd"), samples.weights("odd"), dtype=dtype, device="cuda")
    given = {name: samples.inputs("odd")[name] for name in ("input_ids", "attention_mask")}
    decoders = [in_torch.CachedDecoder(model, given, 5), FastDecoder(FastModel(model), given, 5)]
    found = []
    for decoder in decoders:
        rows = decoder.start(3)
        for step in range(4):
            logits = decoder.logits(np.full(rows, 4 + step))
            decoder.reorder(np.arange(rows) // 3 * 3)
        found.append(logits)
    samples.assert_close(found[1], found[0], {"float32": 1e-5, "bfloat16": 0.05}[dtype], "logits")
