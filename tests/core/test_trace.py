"""A trace is read as it was written, or not at all."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from parity.core import trace as trace_module
from parity.core.trace import Raised, Trace, TraceError


@pytest.fixture
def written(tmp_path):
    """A trace with arrays, facts whose text looks like the digest's own field, and its bytes."""
    arrays = {'a"digest":"': np.arange(7, dtype=np.float32), "b": np.zeros((2, 3)), "c": np.zeros(0)}
    facts = {"text": f'"digest":"{"0" * 64}"', "list": [1, 2]}
    trace = Trace(arrays, facts, Raised("E", "m", "f"), {"b": "float64"}, {"key": "k"})
    path = tmp_path / "one.safetensors"
    trace.write(path)
    return trace, path, path.read_bytes()


def refused(path, content, **told):
    path.write_bytes(content)
    with pytest.raises(TraceError) as error:
        Trace.read(path, **told)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_trace_is_read_and_named_by_its_digest(written):
    trace, path, _ = written
    again = Trace.read(path, trace.digest)
    assert again.digest == trace.digest and len(set(trace.digest)) > 4
    assert (again.facts, again.raised, again.dtypes, again.provenance) == (
        trace.facts,
        trace.raised,
        trace.dtypes,
        trace.provenance,
    )
    assert all(np.array_equal(again.arrays[name], array) for name, array in trace.arrays.items())


def test_no_bit_of_a_trace_can_change(written):
    _, path, content = written
    draw = random.Random(7)
    for place in sorted(draw.sample(range(len(content)), 200)):
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        refused(path, bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 200, -1])
def test_no_part_of_a_trace_is_read(written, length):
    _, path, content = written
    refused(path, content[:length])
    refused(path, content + content[:length] + b"x")


def test_a_head_that_was_edited_is_refused(written):
    _, path, content = written
    assert "digest does not match" in refused(path, content.replace(b"list", b"lost"))
    assert "no digest" in refused(path, content.replace(b'"digest":"', b'"digesT":"'))


def test_another_trace_in_its_place_is_refused(written):
    trace, path, _ = written
    other = Trace(facts={"of": "something else"})
    other.write(path)
    assert "not the trace that the run recorded" in refused(path, path.read_bytes(), digest=trace.digest)


def test_a_trace_that_is_exchanged_while_it_is_judged_is_refused(written):
    _, path, _ = written
    opened = Trace.read(path)
    Trace({"b": np.ones((2, 3))}).write(path)
    with pytest.raises(TraceError, match="changed while it was being judged"):
        opened.arrays["b"]


def test_an_earlier_format_is_named(written, monkeypatch):
    trace, path, _ = written
    monkeypatch.setattr("parity.core.trace.FORMAT", 1)
    trace.write(path)
    monkeypatch.undo()
    with pytest.raises(TraceError, match="trace format 1, this version reads 2"):
        Trace.read(path)
    assert json.dumps(trace.facts)


def test_a_large_file_is_digested_once_as_long_as_it_stays_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_module, "LARGE", 1)
    monkeypatch.setattr(trace_module, "_known", {})
    path = tmp_path / "one.safetensors"
    Trace({"a": np.arange(9.0)}).write(path)
    (tmp_path / "two.safetensors").hardlink_to(path)
    monkeypatch.setattr(trace_module, "_PIECE", None)  # digesting it again would raise
    read = Trace.read(tmp_path / "two.safetensors")
    assert np.array_equal(read.arrays["a"], np.arange(9.0))
    monkeypatch.undo()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    refused(path, bytes(content))


def test_an_array_is_copied_to_a_file_byte_for_byte(written, tmp_path, monkeypatch):
    trace, path, _ = written
    monkeypatch.setattr(trace_module, "_PIECE", 5)
    for name, array in trace.arrays.items():
        Trace.read(path).arrays.copy(name, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == array.tobytes()
