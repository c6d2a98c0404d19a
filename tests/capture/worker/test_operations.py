"""What goes into a trace, operation by operation, from a model of a few numpy lines."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.backends.protocol import LoadReport, Step
from parity.capture.worker.operations import perform, row_checksums
from parity.capture.worker.session import Clock, Session
from parity.core.case import Case
from parity.core.subject import Variant
from parity.core.trace import PROJECT_ABOVE, Trace, digest_array, random_projection


class Model:
    """Logits are each row's ids doubled; ``noise`` makes every call differ from the one before."""

    report = LoadReport(missing=["gone"])

    def __init__(self, parameters=None, noise=0.0):
        self.values, self.noise, self.calls = parameters or {}, noise, []

    def parameters(self):
        yield from self.values.items()

    def call(self, inputs, *, as_tuple=False):
        self.calls.append(dict(inputs))
        logits = inputs["input_ids"][..., None] * 2.0 + self.noise * len(self.calls)
        fields = {"loss": np.float32(7), "logits": logits, "past_key_values": object(), "encoder_attentions": None}
        return tuple(value for value in fields.values() if value is not None) if as_tuple else fields

    def encode_then_decode(self, inputs):
        return {"logits": self.call(inputs)["logits"] + 1}

    def gradients(self, inputs):
        large = np.arange(PROJECT_ABOVE + 64, dtype=np.float32).reshape(-1, 64)
        return np.float32(3), {"b": np.ones(3, np.float16), "a": large}

    def to_numpy(self, value):
        return np.asarray(value), str(np.asarray(value).dtype)


def capture(operation, model=None, variant="eager", **inputs):
    model = model or Model()
    session = Session(lambda: model, lambda: model, Variant.parse(variant), Clock())
    inputs = {"input_ids": [[1, 2, 3], [4, 5, 6]], **inputs}
    return perform(Case(operation, operation, inputs), session)


def test_forward_keeps_arrays_dtypes_and_fields():
    trace = capture("forward")
    np.testing.assert_array_equal(trace.arrays["logits"][..., 0], [[2, 4, 6], [8, 10, 12]])
    assert trace.dtypes["logits"] == "float64"
    assert [fact["field"] for fact in trace.facts["fields"]][:2] == ["loss", "logits"]
    np.testing.assert_array_equal(capture("encode_decode").arrays["logits"][0, 0], [3])


def test_permuted_asks_the_rows_reversed_and_puts_the_answer_back():
    model = Model()
    trace = capture("forward", model, "eager+permuted", head_mask=[[1, 0]])
    np.testing.assert_array_equal(model.calls[0]["input_ids"], [[4, 5, 6], [1, 2, 3]])
    np.testing.assert_array_equal(model.calls[0]["head_mask"], [[1, 0]])
    np.testing.assert_array_equal(trace.arrays["logits"], capture("forward").arrays["logits"])
    assert trace.arrays["loss"] == 7


class Stepping(Model):
    """Logits are the ids fed so far; from the exchange on, those of the rows that were gone on from."""

    def decode_steps(self, inputs, sizes, reorder):
        past = np.zeros((len(inputs["input_ids"]), 1))
        for at in range(len(sizes)):
            if reorder and reorder.at == at:
                past = past[list(reorder.rows)]
            past = past + inputs["input_ids"][:, at : at + 1]
            yield Step({"logits": past[..., None]}, (), [])


def test_permuted_exchanges_the_rows_that_the_case_means():
    def logits(variant):
        model = Stepping()
        session = Session(lambda: model, lambda: model, Variant.parse(variant), Clock())
        settings = {"sizes": [1, 1], "reorder": {"at": 1, "rows": [2, 0, 0]}}
        case = Case("steps", "decode_steps", {"input_ids": [[1, 2], [30, 40], [500, 600]]}, settings)
        return perform(case, session).arrays["logits"][..., 0]

    np.testing.assert_array_equal(logits("eager"), [[1, 502], [30, 41], [500, 601]])
    np.testing.assert_array_equal(logits("eager+permuted"), logits("eager"))


def test_load_tells_every_parameter_and_every_row():
    import ml_dtypes

    weights = np.array([[1, np.nan], [3, np.inf], [5, 6]], np.float32)
    half = np.array([1, np.nan], ml_dtypes.bfloat16)
    trace = capture("load", Model({"w": weights, "half": half, "bits": half.view(np.uint16)}))
    facts = trace.facts["parameters"]
    rows = trace.arrays["rows.w"]
    digest = digest_array(rows, "float32(3, 2)")
    assert facts["w"] == {"shape": [3, 2], "dtype": "float32", "digest": digest, "non_finite": 2}
    assert facts["half"] == facts["bits"] == {**facts["half"], "dtype": "bfloat16", "non_finite": 1}
    assert trace.facts["second"] == {name: fact["digest"] for name, fact in facts.items()}
    assert trace.facts["report"]["missing"] == ["gone"]
    assert rows.shape == (3,) and len(set(rows.tolist())) == 3
    assert trace.arrays["rows.half"].shape == (2,)


def test_a_tied_table_is_hashed_once_and_an_equal_copy_is_not_mistaken_for_it(monkeypatch):
    from parity.capture.worker import operations

    monkeypatch.setattr(operations, "LARGE", 8)
    table = np.arange(24, dtype=np.float32).reshape(6, 4)
    names = {"a": table[:], "tied": table[:], "copy": table.copy(), "half": table[:3], "turned": table.T}
    hashed = []
    monkeypatch.setattr(operations, "digest_array", lambda *given: hashed.append(1) or digest_array(*given))
    facts = capture("load", Model(names)).facts
    assert len(hashed) == 8
    digests = {name: fact["digest"] for name, fact in facts["parameters"].items()}
    assert digests == facts["second"]
    assert digests["a"] == digests["tied"] == digests["copy"]
    assert len(set(digests.values())) == 3


@given(st.data())
def test_one_bit_changes_the_checksum_of_its_row_and_of_no_other(data):
    dtype = data.draw(st.sampled_from(["float64", "float32", "float16", "uint16"]))
    shape = data.draw(st.sampled_from([(5, 3), (5, 8), (7,), (2,), (2, 3, 4), ()]))
    array = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape).astype(dtype)
    flipped = array.copy()
    bits = flipped.reshape(-1).view(f"u{array.itemsize}")
    index = data.draw(st.integers(0, bits.size - 1))
    bits[index] ^= bits.dtype.type(1 << data.draw(st.integers(0, 8 * array.itemsize - 1)))
    changed = np.flatnonzero(row_checksums(array) != row_checksums(flipped))
    assert changed.tolist() == [index // (array.size // max(len(array), 1)) if array.ndim else 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(5, 8), (5, 7), (1, 2)])
def test_a_checksum_does_not_depend_on_how_the_array_lies_in_memory(shape, dtype):
    array = np.random.default_rng(1).normal(size=shape).astype(dtype)
    turned = np.asfortranarray(array)
    assert row_checksums(array).tolist() == row_checksums(turned).tolist()


def test_one_changed_row_changes_its_checksum_only():
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    changed = weights.copy()
    changed[2, 1] = np.nextafter(changed[2, 1], 99)
    first, second = (capture("load", Model({"w": array})).arrays["rows.w"] for array in (weights, changed))
    assert np.flatnonzero(first != second).tolist() == [2]


def test_a_scalar_and_an_empty_parameter_have_checksums_too():
    trace = capture("load", Model({"scalar": np.float32(2).reshape(()), "empty": np.zeros((0, 3), np.float32)}))
    assert trace.arrays["rows.scalar"].shape == (1,) and trace.arrays["rows.empty"].shape == (0,)


@pytest.mark.parametrize(("noise", "same"), [(0.0, True), (0.5, False)])
def test_repeat_digests_the_same_call_twice(noise, same):
    facts = capture("repeat", Model(noise=noise)).facts
    assert facts["first"].keys() == facts["second"].keys() == {"loss", "logits"}
    assert (facts["first"]["logits"] == facts["second"]["logits"]) is same


def test_tuple_and_dict_are_flattened_in_the_librarys_order():
    facts = capture("tuple").facts
    assert facts["names"] == ["loss", "logits", "past_key_values"]
    assert facts["dict"] == facts["tuple"] and facts["dict"][2] == "object"
    assert capture("tuple", Model(noise=1.0)).facts["dict"][1] != facts["dict"][1]


def test_gradients_keep_small_arrays_and_sketch_large_ones():
    trace = capture("gradients")
    assert trace.arrays["loss"] == 3 and list(trace.arrays) == ["loss", "gradient.b", "gradient.a"]
    assert trace.arrays["gradient.b"].dtype == np.float32 and trace.dtypes["gradient.b"] == "float16"
    assert trace.facts["projected"] == ["gradient.a"]
    np.testing.assert_array_equal(trace.arrays["gradient.a"], random_projection(Model().gradients({})[1]["a"]))


@pytest.mark.parametrize("as_bits", [False, True], ids=["ml_dtypes", "bits"])
def test_bfloat16_gradients_on_the_host_are_stored_as_float32(tmp_path, as_bits):
    class Half(Model):
        def gradients(self, inputs):
            loss, found = super().gradients(inputs)
            half = [value.astype(ml_dtypes.bfloat16) for value in (np.asarray(loss), *found.values())]
            loss, *others = [value.view(np.uint16) for value in half] if as_bits else half
            return loss, dict(zip(found, others, strict=True))

    trace = capture("gradients", Half())
    trace.write(tmp_path / "trace.safetensors")
    read = Trace.read(tmp_path / "trace.safetensors")
    assert set(read.dtypes.values()) == {"bfloat16"}
    assert read.arrays["loss"] == 3 and read.arrays["loss"].dtype == read.arrays["gradient.b"].dtype == np.float32
    np.testing.assert_array_equal(read.arrays["gradient.b"], np.ones(3))
    large = Model().gradients({})[1]["a"].astype(ml_dtypes.bfloat16)
    np.testing.assert_allclose(read.arrays["gradient.a"], random_projection(large.astype(np.float32)), rtol=1e-6)


def test_the_backends_time_is_told_from_ours():
    clock = Clock()
    model = Model()
    perform(Case("f", "forward", {"input_ids": [[1]]}), Session(lambda: model, lambda: model, Variant(), clock))
    assert len(clock.intervals) == 1 and clock.seconds > 0
