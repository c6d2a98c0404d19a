"""Outputs as canonical arrays: the order of the data flow, the library's own order in the facts, nothing dropped."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from parity.backends.output_names import flatten
from parity.core.model_spec import model_spec_of
from parity.core.tensors import forward_tensors

CONFIG = {"model_type": "bart", "encoder_layers": 2, "decoder_layers": 11}


def to_numpy(value: np.ndarray) -> tuple[np.ndarray, str]:
    return value.astype(np.float32), value.dtype.name


def output() -> dict[str, Any]:
    def series(count: int, *shape: int) -> tuple[np.ndarray, ...]:
        return tuple(np.full(shape, index, np.float16) for index in range(count))

    return {
        "loss": np.float16(1.0),
        "logits": np.zeros((2, 5, 7), np.float16),
        "past_key_values": object(),
        "decoder_hidden_states": series(12, 2, 5, 3),
        "decoder_attentions": series(11, 2, 1, 5, 5),
        "cross_attentions": series(11, 2, 1, 5, 4),
        "encoder_last_hidden_state": np.zeros((2, 4, 3), np.float16),
        "encoder_hidden_states": series(3, 2, 4, 3),
        "encoder_attentions": series(2, 2, 1, 4, 4),
    }


def test_the_order_is_the_data_flow_whatever_the_librarys() -> None:
    fields = list(output().items())
    random.Random(0).shuffle(fields)
    arrays, dtypes, facts = flatten(dict(fields), to_numpy)
    assert list(arrays) == list(dtypes) == [spec.name for spec in forward_tensors(model_spec_of(CONFIG))]
    assert [fact["field"] for fact in facts] == [name for name, _ in fields]


def test_each_layer_keeps_its_own_array() -> None:
    arrays, dtypes, _ = flatten(output(), to_numpy)
    assert all((arrays[f"decoder.cross_attention.{layer}"] == layer).all() for layer in range(11))
    assert set(dtypes.values()) == {"float16"}


def test_facts_tell_form_shapes_and_dtypes() -> None:
    facts = {fact["field"]: fact for fact in flatten(output(), to_numpy)[2]}
    attention = {"kind": "tuple", "type": "tuple", "shapes": [[2, 1, 4, 4]] * 2, "dtypes": ["float16"] * 2}
    assert facts["encoder_attentions"] == {"field": "encoder_attentions", **attention}
    assert facts["loss"]["kind"] == "array" and facts["loss"]["shapes"] == [[]]
    assert facts["past_key_values"] == {
        "field": "past_key_values",
        "kind": "other",
        "type": "object",
        "shapes": [],
        "dtypes": [],
    }


def test_a_field_of_another_form_is_a_fact_and_no_array() -> None:
    odd = {"logits": (np.zeros(1),), "encoder_attentions": (None, None), "surprise": np.zeros(2)}
    arrays, _, facts = flatten(odd, to_numpy)
    assert arrays == {}
    assert [(fact["field"], fact["kind"]) for fact in facts] == [(name, "other") for name in odd]
