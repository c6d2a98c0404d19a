"""What a worker is expected to need, and when the oracle is computed a layer at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity.capture.executor import LocalProcesses
from parity.capture.memory import WORKER_BASE, float64_limit, needed
from tests.capture.fake_backend import FINE

GB = 1_000_000_000


@pytest.fixture
def task(bench):
    def made(operation="forward", dtype="float64", **changes):
        return replace(bench.task(FINE, operation), dtype=dtype, weight_bytes=GB, **changes)

    return made


def test_a_pass_back_and_wider_numbers_need_more(task):
    forward, back = needed(task(dtype="float32"), {}), needed(task("gradients", "float32"), {})
    assert WORKER_BASE + GB < forward < back < needed(task("gradients"), {})
    assert needed(task(), {"by_layer_above": 0}) < forward
    assert needed(task(), {"by_layer_above": 2 * GB}) == needed(task(), {})


def test_the_oracle_goes_by_layers_where_the_whole_has_no_room(task):
    passes = [task(), task("gradients"), task("gradients", "float32")]
    whole = max(needed(each, {}) for each in passes)
    assert float64_limit(passes, whole) is None
    limit = float64_limit(passes, whole - 1)
    assert limit is not None and limit < 2 * GB
    assert max(needed(each, {"by_layer_above": limit}) for each in passes) < whole
    assert float64_limit(passes[:1], whole - 1) is None
    assert float64_limit(passes, 0) == 0


def test_who_runs_knows_how_the_oracle_is_computed(task, tmp_path):
    gradients_task = replace(task("gradients"), backend="reference-torch")
    for memory, expected in ((1 << 40, False), (4 * GB, True)):
        (queue,) = LocalProcesses(tmp_path, memory=memory)._queues([gradients_task], lambda *event: None)
        assert ("by_layer_above" in queue._process["setup"]) == expected
        assert queue.memory == needed(gradients_task, queue._process["setup"])
