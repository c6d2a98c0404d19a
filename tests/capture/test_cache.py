"""Traces by content: found only when everything is the same, listed, bounded, cleaned."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from parity.capture.cache import TraceCache, trace_key
from parity.core.trace import Trace, TraceError

HOUR = 3600.0


@pytest.fixture
def cache(tmp_path):
    """Three traces, used three, two and one hours ago."""
    cache = TraceCache(tmp_path)
    for age, key in ((3, "aa1"), (2, "bb2"), (1, "cc3")):
        trace = Trace({"x": np.zeros(100)}, provenance={"backend": f"b{age}", "checkpoint": "odd"})
        os.utime(cache.put(key, trace), (0, time.time() - age * HOUR))
    return cache


def keys(entries):
    return [entry.key for entry in entries]


def test_what_was_put_is_found_and_counts_as_used(cache):
    assert keys(cache.list()) == ["cc3", "bb2", "aa1"]
    assert cache.find("aa1").provenance["backend"] == "b3"
    assert keys(cache.list())[0] == "aa1"
    assert cache.find("dd4") is None


def test_what_cannot_be_read_is_absent_and_still_listed(cache):
    cache.path("aa1").write_bytes(b"garbage")
    assert cache.find("aa1") is None
    entry = cache.list()[0]
    assert (entry.key, entry.backend, entry.size) == ("aa1", "", 7)


def test_the_list_names_origin_size_and_age(cache):
    entry = cache.list()[-1]
    assert (entry.backend, entry.checkpoint) == ("b3", "odd")
    assert entry.size == cache.path("aa1").stat().st_size and 3 * HOUR <= entry.age < 3 * HOUR + 60


def test_clean_removes_the_old_the_rest_or_everything(cache):
    size = cache.list()[0].size
    assert keys(cache.clean(older_than=2.5 * HOUR)) == ["aa1"]
    assert keys(cache.clean(down_to=size)) == ["bb2"]
    cache.compiled.mkdir()
    (cache.compiled / "program").write_text("")
    assert keys(cache.clean()) == ["cc3"]
    assert cache.list() == [] and not cache.compiled.exists()


def test_half_written_files_are_ignored_then_removed(cache):
    fresh, old = (cache.path("aa1").with_name(name) for name in (".part-1", ".part-2.safetensors"))
    fresh.write_bytes(b"x")
    old.write_bytes(b"x")
    os.utime(old, (0, time.time() - HOUR))
    assert len(cache.list()) == 3
    cache.remove_parts()
    assert fresh.exists() and not old.exists()
    cache.clean(older_than=10 * HOUR)
    assert not fresh.exists()


def test_a_key_depends_on_every_part():
    parts = {"checkpoint_digest": "c", "case_digest": "d", "threads": 2, "versions": {"torch": "1"}}
    changed = [{**parts, "threads": 1}, {**parts, "versions": {"torch": "2"}}, {**parts, "more": None}]
    assert len({trace_key(**parts), *(trace_key(**other) for other in changed)}) == 4
    assert trace_key(**parts) == trace_key(**dict(reversed(parts.items())))


def test_a_trace_that_another_run_marks_as_used_stays_readable(cache):
    """Runs that share a cache have links to the same files."""
    found = cache.find("aa1")
    assert cache.find("aa1") is not None
    assert np.array_equal(found.arrays["x"], np.zeros(100))
    changed = cache.find("aa1")
    cache.put("aa1", Trace({"x": np.ones(100)}))
    with pytest.raises(TraceError, match="changed while it was being judged"):
        changed.arrays["x"]


def test_a_second_run_keeps_the_trace_that_the_first_recorded(cache):
    key = "aa1"
    path, first = cache.path(key), cache.find(key)
    second = Trace(dict(first.arrays), provenance={"key": key, "seconds": 9.0})
    second.write(path, replaces=False)
    assert cache.find(key).digest == first.digest != second.digest
    path.write_bytes(path.read_bytes()[:-1])
    second.write(path, replaces=False)
    assert cache.find(key).digest == second.digest  # a damaged one is replaced
