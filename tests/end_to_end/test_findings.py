"""Weights that are wrong are findings: named, exit code 1, and whatever else can be judged is judged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.core.records import Report
from parity.core.resources import fixture
from tests.end_to_end.conftest import audited_once

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


FAULTS = {fault.__name__: fault for fault in (missing, surplus, misshapen, not_a_number, infinite)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One audit of all damaged checkpoints, each of which fails."""
    folder = tmp_path_factory.mktemp("damaged")
    for name, fault in FAULTS.items():
        shutil.copytree(fixture("bart-odd"), folder / name)
        weights = load_file(folder / name / "model.safetensors")
        fault(weights)
        save_file(weights, folder / name / "model.safetensors", metadata={"format": "pt"})
    options = ("--backend", "hf-torch/eager", "--backend", "reference-torch/eager")
    return audited_once(tmp_path_factory, "findings", [folder / name for name in FAULTS], *options, code=1)[1]


@pytest.mark.parametrize("name", FAULTS)
def test_a_finding_names_the_parameter_and_the_rest_is_judged(report, name):
    verdicts = [verdict for verdict in report.verdicts if verdict.checkpoint == name]
    (file,) = (verdict for verdict in verdicts if verdict.check == "FILE01")
    named = "model.decoder.layers.7.fc2.weight" if name == "surplus" else NAME
    assert file.status == "fail" and named in file.reason
    assert not [verdict for verdict in verdicts if verdict.status == "error"]
    judged = {verdict.check for verdict in verdicts if verdict.status == "pass"}
    assert len(judged) > 5 or name == "misshapen", judged
