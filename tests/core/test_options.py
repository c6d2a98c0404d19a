"""The options of an audit: what may be given, and what of it is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.core.errors import InputError
from parity.core.options import DEFAULTS, RECORDED, AuditOptions


def test_lists_and_paths_may_be_given_in_any_form():
    options = AuditOptions(backends=["hf-torch"], stacks=iter(["main", "current"]), out="runs/one")
    assert options.backends == ("hf-torch",) and options.stacks == ("main", "current")
    assert options.out == Path("runs/one") and options.cache is None
    assert hash(options) == hash(AuditOptions(backends=("hf-torch",), stacks=("main", "current"), out=Path("runs/one")))


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"device": "tpu"}, "no device is called tpu; did you mean cpu\\?"),
        ({"dtypes": ["float32", "int8"]}, "no dtype is called int8; there are float64, float32, bfloat16, float16"),
        ({"memory": "12 apples"}, "12 apples: not an amount of memory, such as 12GB or 1500MB"),
        ({"memory": "0GB"}, "0GB: not an amount of memory, such as 12GB or 1500MB"),
        ({"references": ["hf-torch"]}, "no reference is called hf-torch; did you mean reference-torch\\?"),
        ({"backends": "hf-torch"}, "backends: expected a list of names, not the text 'hf-torch'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given, cause):
    with pytest.raises(InputError, match=f"^{cause}$"):
        AuditOptions(**given)


def test_what_is_not_the_default_is_recorded_as_json_can_hold_it():
    assert DEFAULTS.recorded() == AuditOptions(checks=[], jobs=2, out="x").recorded() == {}
    given = {
        "inputs": Path("rows.jsonl"),
        "model_class": "BartModel",
        "time_limit": 1.0,
        "layerwise": True,
        "case_set": "exhaustive",
        "save_limit": 0,
        "checks": ["losses", "NUM01"],
        "keywords": "numbers or losses",
        "models": ["port.py:load"],
        "converted": Path("onnx"),
        "quantised": "int8",
        "original": Path("model"),
        "references": ["reference-torch"],
    }
    assert set(given) == set(RECORDED)
    assert AuditOptions(**given).recorded() == {
        **given,
        "inputs": "rows.jsonl",
        "converted": "onnx",
        "original": "model",
        "checks": ["NUM01", "losses"],
    }


@pytest.mark.parametrize(
    ("text", "count"), [("12GB", 12 * 10**9), ("1.5 GiB", 3 << 29), ("800mb", 8 * 10**8), ("4096", 4096)]
)
def test_memory_is_given_in_bytes_or_with_a_unit(text, count):
    assert AuditOptions(memory=text).memory == count
