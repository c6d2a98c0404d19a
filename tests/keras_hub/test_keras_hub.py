"""keras-hub's BART, written by others, computes what the references say, within the tolerances everybody is held to.

What it witnesses, and what not, stands in ``parity/backends/engines/keras_hub_backend.py``.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from parity.backends.engines.conversion import UnusableFiles
from parity.backends.engines.keras_hub_backend import KerasHub, assign, inexpressible, keras_paths
from parity.backends.limits.keras_hub import CLASS, OFFERED, REASONS
from parity.core.resources import fixture
from parity.judge.captured_run import CheckpointRun
from parity.judge.judge import judge
from parity.judge.tolerance import measure
from reference.config import BartConfig
from reference.names import LOGITS_BIAS, expected_parameters
from tests.keras_hub.ask import FAULTS
from tests.keras_hub.conftest import EVEN

CHECKPOINTS = ("bart-odd", "even")
JUDGED = {"NUM01", "NUM04", "PAD01", "MASK01", "MASK02", "MASK03", "MASK04", "BATCH01", "CALL01", "EVAL01"}


@pytest.mark.full
def test_it_agrees_with_the_oracle_wherever_it_can_be_asked(asked):
    verdicts = [v for v in judge(asked / "run").verdicts if v.backend == "keras-hub"]
    wrong = [f"{v.checkpoint} {v.check} {v.case}: {v.reason}" for v in verdicts if v.status not in ("pass", "skip")]
    assert not wrong
    for checkpoint in CHECKPOINTS:
        passed = {v.check for v in verdicts if (v.checkpoint, v.status) == (checkpoint, "pass")}
        assert passed >= JUDGED


def out_of_tolerance(asked, checkpoint: str, fault: str) -> list[str]:
    """The tensors of the forward case that differ by more than their tolerance, in data-flow order."""
    _, runs = CheckpointRun.open_all(asked / "run")
    run = next(run for run in runs if run.checkpoint.name == checkpoint)
    subject = next(subject for _, subject in run.subjects("candidate"))
    answer, oracle = load_file(asked / "faults" / checkpoint / f"{fault}.safetensors"), run.oracle("forward").arrays
    found = []
    for name in (spec.name for spec in run.specs("forward") if spec.name in answer):
        error, tolerance = measure(answer[name], oracle[name]), run.tolerance(subject, name)
        if error.slice > tolerance.slice or error.element > tolerance.element:
            found.append(name)
    return found


@pytest.mark.full
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_its_tolerance_first_where_it_was_made(asked, checkpoint, fault):
    assert out_of_tolerance(asked, checkpoint, fault)[0] == FAULTS[fault][1]


@pytest.mark.full
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_without_a_fault_nothing_leaves_its_tolerance(asked, checkpoint):
    assert out_of_tolerance(asked, checkpoint, "none") == []


def variables_and_weights():
    """The places of a half's norms and tables, and what goes there; no Keras."""
    config = BartConfig.from_dict(EVEN)
    shapes = {name: parameter.shape for name, parameter in expected_parameters(config).items()}
    names = [
        "model.shared.weight",
        "model.encoder.layernorm_embedding.weight",
        "model.encoder.layernorm_embedding.bias",
    ]
    paths = keras_paths(config)
    places = {paths[name]: SimpleNamespace(shape=shapes[name], assign=lambda array: None) for name in names}
    return places, {name: np.zeros(shapes[name]) for name in names}, paths


def test_every_parameter_has_its_own_variable():
    paths = keras_paths(BartConfig.read(fixture("bart-odd")))
    assert set(paths) == set(expected_parameters(BartConfig.read(fixture("bart-odd")))) - {LOGITS_BIAS}
    assert len(set(paths.values())) == len(paths)


def test_nothing_is_left_over_and_nothing_left_empty():
    places, weights, paths = variables_and_weights()
    assign(places, weights, paths)
    with pytest.raises(
        ValueError, match=r"no variable for \['model.decoder.layernorm_embedding.bias'\]; nothing for \[\]"
    ):
        assign(places, {**weights, "model.decoder.layernorm_embedding.bias": np.zeros(28)}, paths)
    del weights["model.shared.weight"]
    with pytest.raises(ValueError, match=r"no variable for \[\]; nothing for \['token_embedding/embeddings'\]"):
        assign(places, weights, paths)


def test_a_weight_of_another_shape_is_not_bent_into_place():
    places, weights, paths = variables_and_weights()
    weights["model.shared.weight"] = weights["model.shared.weight"].T
    with pytest.raises(ValueError, match=r"token_embedding/embeddings has shape \[83, 28\].* \[28, 83\]"):
        assign(places, weights, paths)


def test_what_it_cannot_express_is_said():
    assert inexpressible(BartConfig.read(fixture("bart-odd"))) == []
    untied = fixture("bart-untied")
    assert inexpressible(BartConfig.read(untied)) == ["activation_function gelu_new", "tie_word_embeddings false"]
    with pytest.raises(UnusableFiles, match="cannot express activation_function gelu_new, tie_word_embeddings false"):
        KerasHub().load(untied, None, device="cpu", dtype="float32", model_class=CLASS)


def test_what_it_cannot_be_asked_is_declared():
    assert not set(OFFERED) & set(REASONS)
