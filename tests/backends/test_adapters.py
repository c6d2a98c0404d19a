"""Each adapter on a real checkpoint: every array and parameter named, the values near the oracle's, nothing printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.backends.capabilities import OPERATIONS, capabilities
from parity.tensors import forward_tensors
from reference.config import BartConfig
from reference.names import expected_parameters, tied_groups, trainable
from reference.weights import cast, read_weights
from tests.backends.samples import BATCH, CHECKPOINT, CONFIG, LACKED, SRC, SURPLUS, TGT, Answers, Asking

BART = BartConfig.read(CHECKPOINT)
ASKED = {
    "reference-torch": ("eager", "float64", "bfloat16", "float16"),
    "reference-torch/sdpa": ("sdpa",),
    "reference-flax": ("eager", "bfloat16"),
    "hf-torch": ("eager", "float64", "bfloat16", "float16"),
    "hf-torch/sdpa": ("sdpa",),
    "hf-tf": ("eager",),
    "hf-flax": ("eager", "bfloat16", "float16"),
}
ROUNDING = {"float64": 1e-5, "float32": 1e-5, "bfloat16": 0.1, "float16": 0.02}
"""Relative to a tensor's largest element: a misnamed or misplaced array is off by about 1, rounding by far less.

The truth here is the reference in float32, so that float64 can be no nearer.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "asked" in metafunc.fixturenames:
        names = getattr(metafunc.function, "subjects", ASKED)
        metafunc.parametrize("asked", names, indirect=True)


def only(*names: str) -> Any:
    def mark(function: Any) -> Any:
        function.subjects = names
        return function

    return mark


@pytest.fixture
def asked(request: pytest.FixtureRequest, asking: Asking) -> tuple[str, Answers]:
    name = request.param
    return name, asking(name.partition("/")[0], *ASKED[name])


@pytest.fixture
def oracle(asking: Asking) -> Answers:
    return asking("reference-torch", *ASKED["reference-torch"])


def can(name: str) -> list[str]:
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    # A distribution may spell itself with underscores (tensorflow_cpu); the probe asks by the canonical name.
    versions = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}
    backend, _, variant = name.partition("/")
    return capabilities(backend, variant or "eager", versions)[0]


def expected_names(name: str) -> list[str]:
    found = [spec.name for spec in forward_tensors(CONFIG) if spec.name != "loss"]
    return found if "attentions" in can(name) else [array for array in found if "attention" not in array]


def assert_near(arrays: dict[str, np.ndarray], truth: dict[str, np.ndarray], tolerance: float) -> None:
    assert arrays
    for name, array in arrays.items():
        # A key bias has no gradient in theory: what comes back is rounding on both sides.
        scale = np.abs(truth[name.replace("k_proj.bias", "k_proj.weight")]).max()
        assert np.abs(array - truth[name]).max() <= tolerance * scale, name


def test_nothing_is_printed(asked: tuple[str, Answers]) -> None:
    assert asked[1].stdout == ""


def test_every_array_of_a_forward_pass_is_named_in_order(asked: tuple[str, Answers]) -> None:
    name, given = asked
    assert given.told["forward"]["names"] == expected_names(name)
    assert set(given.told["forward"]["dtypes"].values()) == {"float32"}


def test_shapes_are_those_of_the_table(asked: tuple[str, Answers]) -> None:
    sizes = {"batch": BATCH, "src": SRC, "tgt": TGT, "d_model": CONFIG["d_model"], "vocab": CONFIG["vocab_size"]}
    arrays = asked[1].arrays("forward")
    for spec in forward_tensors(CONFIG):
        if spec.name in arrays:
            heads = CONFIG[f"{spec.name.partition('.')[0]}_attention_heads"] if "heads" in spec.axes else 0
            assert arrays[spec.name].shape == tuple({**sizes, "heads": heads}[axis] for axis in spec.axes)


def test_values_are_near_the_reference(asked: tuple[str, Answers], oracle: Answers) -> None:
    assert_near(asked[1].arrays("forward"), oracle.arrays("forward"), ROUNDING["float32"])


def test_encoding_then_decoding_gives_the_same_arrays(asked: tuple[str, Answers], oracle: Answers) -> None:
    name, given = asked
    assert given.told["halves"]["names"] == expected_names(name)
    assert_near(given.arrays("halves"), oracle.arrays("forward"), ROUNDING["float32"])


def test_defaults_are_left_to_the_library(asked: tuple[str, Answers], oracle: Answers) -> None:
    assert_near(asked[1].arrays("defaults"), oracle.arrays("defaults"), ROUNDING["float32"])


def test_every_parameter_is_the_files_bit_for_bit(asked: tuple[str, Answers]) -> None:
    weights, arrays = read_weights(CHECKPOINT, BART), asked[1].arrays("parameters")
    assert set(expected_parameters(BART)) <= set(arrays)
    duplicates = dict.fromkeys(tied_groups(BART)[0][1:], tied_groups(BART)[0][0])
    for name, array in arrays.items():
        wanted = cast(weights[duplicates.get(name, name)], "float32")
        assert array.dtype == wanted.dtype and array.tobytes() == wanted.tobytes(), name


def test_a_good_checkpoint_loads_with_nothing_to_report(asked: tuple[str, Answers]) -> None:
    report = asked[1].told["load"]["report"]
    assert (report["missing"], report["unexpected"], report["not_materialised"]) == ([], [], [])
    assert [sorted(group) for group in report["tied"]] == [sorted(group) for group in tied_groups(BART)]
    assert report["training"] in (False, None)


def test_gradients_of_every_trainable_parameter(asked: tuple[str, Answers], oracle: Answers) -> None:
    _, given = asked
    arrays = given.arrays("gradients")
    assert set(arrays) == set(trainable(BART))
    assert_near(arrays, oracle.arrays("gradients"), 10 * ROUNDING["float32"])
    loss = np.asarray(given.told["gradients"]["loss"]).reshape(())
    assert loss == pytest.approx(float(oracle.arrays("labels")["loss"]), rel=ROUNDING["float32"])


def test_what_the_library_raises_goes_through(asked: tuple[str, Answers]) -> None:
    raised = asked[1].told["nowhere"]["raised"]
    assert raised == ("CheckpointError" if asked[0].startswith("reference") else raised)
    assert raised in ("CheckpointError", "OSError", "HFValidationError")


def test_every_dtype_that_is_claimed(asked: tuple[str, Answers], oracle: Answers) -> None:
    name, given = asked
    for dtype in set(ASKED[name][1:]):
        assert dtype in can(name)
        told = given.told[dtype]
        assert set(told["dtypes"].values()) == {dtype} and told["parameters"] == [dtype]
        assert_near(
            given.arrays(dtype),
            oracle.arrays("forward"),
            ROUNDING["float32"] if dtype == "float64" else ROUNDING[dtype],
        )


@only("hf-torch", "hf-tf", "hf-flax")
def test_what_the_library_says_it_missed_is_reported(asked: tuple[str, Answers]) -> None:
    report = asked[1].told["faulty"]
    assert report["missing"] == [LACKED]
    # Flax spells the surplus as it would have called it: a weight of two axes is a kernel.
    spelled = [name.replace("/", ".").replace(".kernel", ".weight") for name in report["unexpected"]]
    assert spelled == [SURPLUS]
    assert any("newly initialized" in note for note in report["notes"])


@only("reference-torch", "reference-flax")
def test_the_reference_refuses_what_lacks_a_parameter(asked: tuple[str, Answers]) -> None:
    told = asked[1].told["faulty"]
    assert told["raised"] == "CheckpointError" and LACKED in told["message"]


@only("hf-torch", "hf-tf", "hf-flax")
def test_the_route_is_told(asked: tuple[str, Answers]) -> None:
    name, given = asked
    assert given.told["load"]["report"]["route"] == ("plain" if name == "hf-torch" else "from_pt=True")


class TestCapabilities:
    """Each word that is claimed was answered; each that is lacking was refused, or came back without the field."""

    def test_every_word_is_judged_here(self) -> None:
        methods = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        elsewhere = {"load", "hidden_states", "default_decoder_inputs", "encode_decode", "gradients"}
        assert set(OPERATIONS) - elsewhere <= methods

    def test_labels(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "labels" in can(name):
            assert "loss" in given.told["labels"]["names"]
        else:
            assert given.told["labels"]["raised"] == "TypeError" and "labels" in given.told["labels"]["message"]

    def test_head_masks(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "head_masks" in can(name):
            assert given.told["head_masks"]["names"] == expected_names(name)
        else:
            assert given.told["head_masks"]["raised"] == "TypeError"

    def test_attentions(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        fields = [fact["field"] for fact in given.told["forward"]["facts"]]
        assert ("cross_attentions" in fields) == ("attentions" in can(name))

    def test_cache_output(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        facts = {fact["field"]: fact for fact in given.told["forward"]["facts"]}
        assert ("past_key_values" in facts) == ("cache_output" in can(name))
        assert "past_key_values" not in facts or facts["past_key_values"]["kind"] == "other"

    def test_tuple(self, asked: tuple[str, Answers]) -> None:
        name, given = asked
        if "tuple" in can(name):
            assert given.told["tuple"] == {"type": "tuple", "length": len(given.told["forward"]["facts"])}
        else:
            assert given.told["tuple"]["raised"] == "NotImplementedError"

    @only("hf-torch/sdpa")
    def test_head_masks_that_are_ignored_stay_a_capability(self, asked: tuple[str, Answers]) -> None:
        """transformers 4.57.6 takes them and computes without them: a divergence to be found, not hidden."""
        name, given = asked
        assert "head_masks" in can(name)
        whole, masked = given.arrays("forward"), given.arrays("head_masks")
        assert all(np.array_equal(whole[array], masked[array]) for array in whole)
