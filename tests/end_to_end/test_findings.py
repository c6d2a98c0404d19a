"""Weights that are wrong are findings: named, exit code 1, and whatever else can be judged is judged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.core.resources import fixture

pytestmark = pytest.mark.full

NAME = "model.decoder.layers.1.fc2.weight"


def missing(weights):
    del weights[NAME]


def surplus(weights):
    weights["model.decoder.layers.7.fc2.weight"] = weights[NAME]


def misshapen(weights):
    weights[NAME] = np.ascontiguousarray(weights[NAME].T)


def not_a_number(weights):
    weights[NAME][3, 5] = np.nan


def infinite(weights):
    weights[NAME][0, 0] = np.inf


@pytest.mark.parametrize(
    "fault", [missing, surplus, misshapen, not_a_number, infinite], ids=lambda fault: fault.__name__
)
def test_a_finding_names_the_parameter_and_the_rest_is_judged(audit, tmp_path, fault):
    checkpoint = tmp_path / "damaged"
    shutil.copytree(fixture("bart-odd"), checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    fault(weights)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})

    code, report = audit([checkpoint], "--backend", "hf-torch/eager", "--backend", "reference-torch/eager")
    (file,) = (verdict for verdict in report.verdicts if verdict.check == "FILE01")
    named = "model.decoder.layers.7.fc2.weight" if fault is surplus else NAME
    assert code == 1
    assert file.status == "fail" and named in file.reason
    assert report.totals.error == 0, [verdict for verdict in report.verdicts if verdict.status == "error"]
    judged = {verdict.check for verdict in report.verdicts if verdict.status == "pass"}
    assert len(judged) > 5 or fault is misshapen, judged
