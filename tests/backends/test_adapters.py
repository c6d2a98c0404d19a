"""Each adapter on a real checkpoint: every array and parameter named, the values near the oracle's, nothing printed."""

from __future__ import annotations

import numpy as np
import pytest

from parity.core.model_spec import model_spec_of
from parity.core.tensors import forward_tensors
from reference.config import BartConfig
from reference.names import expected_parameters, tied_groups, trainable
from reference.weights import cast, read_weights
from tests.backends.samples import BATCH, CHECKPOINT, CONFIG, LACKED, SRC, SURPLUS, TGT, Answers
from tests.backends.subjects import ROUNDING, SUBJECTS, assert_near, can, expected_names, only

BART = BartConfig.read(CHECKPOINT)


def test_nothing_is_printed(captured: tuple[str, Answers]) -> None:
    assert captured[1].stdout == ""


def test_every_array_of_a_forward_pass_is_named_in_order(captured: tuple[str, Answers]) -> None:
    name, given = captured
    assert given.outputs["forward"]["names"] == expected_names(name)
    assert set(given.outputs["forward"]["dtypes"].values()) == {"float32"}


def test_shapes_are_those_of_the_table(captured: tuple[str, Answers]) -> None:
    sizes = {"batch": BATCH, "src": SRC, "tgt": TGT, "vocab": CONFIG["vocab_size"]}
    sizes |= dict.fromkeys(("d_model", "width", "memory"), CONFIG["d_model"])
    arrays = captured[1].arrays("forward")
    for spec in forward_tensors(model_spec_of(CONFIG)):
        if spec.name in arrays:
            heads = CONFIG[f"{spec.name.partition('.')[0]}_attention_heads"] if "heads" in spec.axes else 0
            assert arrays[spec.name].shape == tuple({**sizes, "heads": heads}[axis] for axis in spec.axes)


def test_values_are_near_the_reference(captured: tuple[str, Answers], oracle: Answers) -> None:
    assert_near(captured[1].arrays("forward"), oracle.arrays("forward"), ROUNDING["float32"])


def test_encoding_then_decoding_gives_the_same_arrays(captured: tuple[str, Answers], oracle: Answers) -> None:
    name, given = captured
    assert given.outputs["halves"]["names"] == expected_names(name)
    assert_near(given.arrays("halves"), oracle.arrays("forward"), ROUNDING["float32"])


def test_defaults_are_left_to_the_library(captured: tuple[str, Answers], oracle: Answers) -> None:
    assert_near(captured[1].arrays("defaults"), oracle.arrays("defaults"), ROUNDING["float32"])


def test_every_parameter_is_the_files_bit_for_bit(captured: tuple[str, Answers]) -> None:
    weights, arrays = read_weights(CHECKPOINT, BART), captured[1].arrays("parameters")
    assert set(expected_parameters(BART)) <= set(arrays)
    duplicates = dict.fromkeys(tied_groups(BART)[0][1:], tied_groups(BART)[0][0])
    for name, array in arrays.items():
        wanted = cast(weights[duplicates.get(name, name)], "float32")
        assert array.dtype == wanted.dtype and array.tobytes() == wanted.tobytes(), name


def test_a_good_checkpoint_loads_with_nothing_to_report(captured: tuple[str, Answers]) -> None:
    report = captured[1].outputs["load"]["report"]
    assert (report["missing"], report["unexpected"], report["not_materialised"]) == ([], [], [])
    assert [sorted(group) for group in report["tied"]] == [sorted(group) for group in tied_groups(BART)]
    assert report["training"] in (False, None)


def test_gradients_of_every_trainable_parameter(captured: tuple[str, Answers], oracle: Answers) -> None:
    _, given = captured
    arrays = given.arrays("gradients")
    assert set(arrays) == set(trainable(BART))
    assert_near(arrays, oracle.arrays("gradients"), 10 * ROUNDING["float32"])
    loss = np.asarray(given.outputs["gradients"]["loss"]).reshape(())
    assert loss == pytest.approx(float(oracle.arrays("labels")["loss"]), rel=ROUNDING["float32"])


def test_what_the_library_raises_goes_through(captured: tuple[str, Answers]) -> None:
    raised = captured[1].outputs["nowhere"]["raised"]
    assert raised == ("CheckpointError" if captured[0].startswith("reference") else raised)
    assert raised in ("CheckpointError", "OSError", "HFValidationError")


def test_every_dtype_that_is_claimed(captured: tuple[str, Answers], oracle: Answers) -> None:
    name, given = captured
    for dtype in set(SUBJECTS[name][1:]):
        assert dtype in can(name)
        outputs = given.outputs[dtype]
        assert set(outputs["dtypes"].values()) == {dtype} and outputs["parameters"] == [dtype] == outputs["cache"]
        assert_near(
            given.arrays(dtype),
            oracle.arrays("forward"),
            ROUNDING["float32"] if dtype == "float64" else ROUNDING[dtype],
        )


@only("hf-torch", "hf-tf", "hf-flax")
def test_what_the_library_says_it_missed_is_reported(captured: tuple[str, Answers]) -> None:
    report = captured[1].outputs["faulty"]
    assert report["missing"] == [LACKED]
    # Flax spells the surplus as it would have called it: a weight of two axes is a kernel.
    spelled = [name.replace("/", ".").replace(".kernel", ".weight") for name in report["unexpected"]]
    assert spelled == [SURPLUS]
    assert any("newly initialized" in note for note in report["notes"])


@only("reference-torch", "reference-flax")
def test_the_reference_refuses_what_lacks_a_parameter(captured: tuple[str, Answers]) -> None:
    outputs = captured[1].outputs["faulty"]
    assert outputs["raised"] == "CheckpointError" and LACKED in outputs["message"]


@only("hf-torch", "hf-tf", "hf-flax")
def test_the_route_is_told(captured: tuple[str, Answers]) -> None:
    name, given = captured
    assert given.outputs["load"]["report"]["route"] == ("plain" if name == "hf-torch" else "from_pt=True")
