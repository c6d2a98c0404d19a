"""Quantised engines: what rounding the weights moves and what the engine adds are two figures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from parity import InputError, api
from parity.backends.engines.conversion import RECORD
from parity.core.backends import ENGINES, ORIGINAL
from parity.core.resources import fixture
from parity.tools.quantise import SCHEMES

WEIGHTS = "int8-weights"


@pytest.fixture
def run(cache, tmp_path):
    def audit(checkpoint, engine, quantised, **options):
        options = {"checks": ["NUM04"], "references": ["reference-torch"], "out": tmp_path / "run", **options}
        return api.audit([checkpoint], backends=[engine], quantised=quantised, cache=cache, **options)

    return audit


def test_every_quantisation_rounds_by_a_known_scheme():
    offered = {engine: entry.quantisations for engine, entry in ENGINES.items() if entry.quantisations}
    assert offered and all(how.scheme in SCHEMES for each in offered.values() for how in each.values())


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"backends": ["onnxruntime"], "quantised": "int4"}, "onnxruntime has no quantisation called int4"),
        ({"backends": ["hf-torch"], "quantised": "int8"}, "--quantised int8: name one engine, --backend onnxruntime"),
        ({"backends": ["onnxruntime", "ctranslate2"], "quantised": "int8"}, "--quantised int8: name one engine"),
    ],
)
def test_what_cannot_be_quantised_is_one_line(tmp_path, options, cause):
    with pytest.raises(InputError, match=cause):
        api.audit([fixture("bart-tiny")], cache=tmp_path / "cache", out=tmp_path / "run", **options)


def statuses(report, backend):
    return {verdict.status for verdict in report.verdicts if verdict.backend == backend}


@pytest.mark.full
def test_rounded_weights_alone_pass_against_the_references_with_these_weights(run, checkpoint, cache):
    pytest.importorskip("ctranslate2")
    report = run(checkpoint, "ctranslate2", WEIGHTS, checks=["NUM04", "GEN02"])
    assert not report.failures and statuses(report, ORIGINAL) == {"skip"}
    assert {v.check for v in report.verdicts if v.status == "pass"} == {"NUM04", "GEN02"}
    rows = {row.check: row for row in report.rounding}
    assert rows["NUM04"].engine_ratio <= 1 < 100 < rows["NUM04"].rounding_ratio
    assert rows["GEN02"].texts and not rows["GEN02"].engine_texts
    records = [json.loads(path.read_text()) for path in (cache / "engines").glob(f"*/{RECORD}")]
    assert "int8" in {record["settings"].get("quantization") for record in records}


@pytest.mark.full
def test_a_fault_of_rounded_weights_is_found(run, checkpoint, cache, tmp_path):
    pytest.importorskip("ctranslate2")
    from parity.backends.engines.ctranslate2_files import variables, write_variables

    run(checkpoint, "ctranslate2", WEIGHTS)
    made = next(
        path.parent
        for path in (cache / "engines").glob(f"*/{RECORD}")
        if json.loads(path.read_text())["settings"].get("quantization") == "int8"
    )
    given = shutil.copytree(made, tmp_path / "given")
    assert not run(checkpoint, "ctranslate2", WEIGHTS, converted=given).failures
    (given / RECORD).unlink()
    held = variables(given)
    name, table = "decoder/layer_1/ffn/linear_1/weight_scale", held["decoder/embeddings/weight_scale"]
    scale = held[name].copy()
    scale[3] *= np.float32(1.01)
    # Tables that were aliases need scales of their own.
    tables = {f"{alias}/weight_scale": table for alias in ("decoder/projection", "encoder/embeddings_0")}
    write_variables(given, {**held, **tables, name: scale})
    report = run(checkpoint, "ctranslate2", WEIGHTS, converted=given)
    failure = report.failures[0]
    assert failure.first_divergence is not None and failure.first_divergence.tensor == "logits", failure.reason
    command = failure.reproduce
    assert f"--quantised {WEIGHTS}" in command and f"parity audit {checkpoint}" in command and str(given) in command


@pytest.mark.full
@pytest.mark.parametrize("engine", ["onnxruntime", "ctranslate2"])
def test_activations_rounded_as_it_runs_never_pass_and_have_two_figures(run, checkpoint, engine):
    pytest.importorskip(engine)
    report = run(checkpoint, engine, "int8")
    assert not report.totals.passed and statuses(report, engine) == statuses(report, ORIGINAL) == {"skip"}
    (row,) = report.rounding
    assert row.engine_ratio > 1 and row.rounding_ratio > 1 and row.quantisation == "int8"
    reasons = {each.reason.partition(":")[0] for each in report.verdicts if each.error is not None}
    assert reasons == {"only distances are reported"}
