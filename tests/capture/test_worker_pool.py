"""Workers outlive a round of tasks, within the memory there is; what a task changes for later ones ends its worker."""

from __future__ import annotations

import os

import pytest

from parity.capture import worker_pool
from parity.capture.executor import LocalProcesses
from parity.core import backends
from parity.core.case import Case
from parity.core.stacks import Stack
from parity.core.trace import Trace
from tests.capture.conftest import run_tasks, workers
from tests.capture.fake_backend import ABORT, DRAW, FINE, HANG, LEAK, SLOW
from tests.capture.scene import case, play


@pytest.fixture
def processes(bench):
    """An executor that keeps its workers while the test lasts."""
    with LocalProcesses(bench.folder / "compiled", jobs=1, time_limit=20.0) as executor:
        yield executor


@pytest.fixture
def of_our_table(bench, monkeypatch):
    """The fake as a backend of our own table, which may meet several checkpoints."""
    monkeypatch.setitem(backends.BACKENDS, "fake", backends.find_entry("fake"))


def run(executor, *tasks):
    found = run_tasks(executor, tasks)
    return [found[task.id].outcome for task in tasks]


def test_a_second_round_goes_to_the_same_worker(bench, processes):
    before = len(workers())
    assert run(processes, bench.task(FINE)) == ["captured"]
    assert len(workers()) == before + 1
    assert run(processes, bench.task(SLOW), bench.task(FINE, "tuple")) == ["captured"] * 2
    assert bench.log.count("setup") == 1
    # An idle worker holds no model.
    order = [line.partition(" ")[0] for line in bench.log if line.startswith(("load", "release"))]
    assert order[:3] == ["load", "release", "load"]


def test_a_worker_that_was_started_ahead_takes_the_first_tasks(bench, processes, of_our_table):
    before = len(workers())
    stack = Stack("main", bench.task(FINE).interpreter, dict(bench.environment), ("fake",))
    processes.start_ahead(stack, "fake", "cpu")
    processes.start_ahead(stack, "fake", "cpu")
    assert len(workers()) == before + 1
    assert run(processes, bench.task(FINE), bench.task(FINE, "tuple")) == ["captured"] * 2
    assert len(workers()) == before + 1
    assert bench.log.count("setup") == 1


def test_a_worker_that_cannot_be_started_ahead_is_left_to_its_tasks(bench, processes, of_our_table, tmp_path):
    before = len(workers())
    processes.start_ahead(Stack("main", tmp_path / "python", {}, ("fake",)), "fake", "cpu")
    assert len(workers()) == before
    assert run(processes, bench.task(FINE)) == ["captured"]


def test_workers_end_with_the_pool_and_with_an_error(bench):
    before = len(workers())
    with pytest.raises(KeyboardInterrupt), LocalProcesses(bench.folder, jobs=1) as executor:
        run(executor, bench.task(FINE))
        assert len(workers()) == before + 1
        raise KeyboardInterrupt
    assert len(workers()) == before
    bench.run([bench.task(FINE)])
    assert len(workers()) == before, "without a pool they end with their tasks"


def test_a_whole_capture_starts_each_worker_once(bench, monkeypatch):
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)

    def more(name):
        return lambda manifest, out: {"model": [Case(name, "forward", {"input_ids": [[0, 1], [0, 3]]})]}

    manifest = play(bench.folder, lambda *arguments: [case("forward")], derive=[more("second"), more("third")])
    assert {record.case for record in manifest.traces} == {"forward", "second", "third"}
    assert bench.log.count("setup") == 1


def test_a_worker_that_ended_while_it_was_idle_is_nobodys_failure(bench, processes):
    before = {worker.pid for worker in workers()}
    run(processes, bench.task(FINE))
    idle = next(worker for worker in workers() if worker.pid not in before)
    idle.kill()
    assert run(processes, bench.task(SLOW)) == ["captured"]
    assert bench.log.count("setup") == 2


@pytest.mark.parametrize(("how", "outcome"), [(ABORT, "crash"), (HANG, "time-out")])
def test_a_crash_in_a_later_round_is_its_cases_alone(bench, how, outcome):
    with LocalProcesses(bench.folder, jobs=1, time_limit=2.0) as executor:
        run(executor, bench.task(FINE))
        assert run(executor, bench.task(how), bench.task(SLOW)) == [outcome, "captured"]
    assert bench.log.count("setup") == 2


def test_a_third_partys_worker_meets_one_checkpoint(bench, processes):
    for name in ("one", "other", "one"):
        run(processes, bench.task(FINE, checkpoint=bench.checkpoint(name)))
    assert bench.log.count("setup") == 2


def test_a_mutant_meets_one_checkpoint_and_our_own_backends_several(bench):
    for backend, same in [("mutant", False), ("hf-torch", True), ("file", True)]:
        tasks = [bench.task(FINE, backend=backend, checkpoint=bench.checkpoint(name)) for name in ("one", "other")]
        kinds = {worker_pool.kind_of(task) for task in tasks}
        assert (len(kinds) == 1) == same, backend


def test_the_worker_idle_longest_makes_room(bench, of_our_table):
    def tasks():
        return {stack: bench.task(FINE, stack=stack) for stack in ("one", "two", "three")}

    with LocalProcesses(bench.folder, jobs=1, memory=1 << 40) as executor:
        before = len(workers())
        first = tasks()
        run(executor, first["one"])
        run(executor, first["two"])
        assert len(workers()) == before + 2
        # Room for the task and for one idle worker of about 40 MB.
        executor.memory = 1_200_000_000 + 70_000_000
        run(executor, first["three"])
        assert len(workers()) == before + 2
        run(executor, bench.task(SLOW, stack="two"))
        assert bench.log.count("setup") == 3, "two has stayed"
        run(executor, bench.task(SLOW, stack="one"))
        assert bench.log.count("setup") == 4, "one has gone"


def test_a_changed_setting_ends_its_worker_and_the_case_is_asked_again(bench):
    leaking = bench.task(LEAK)
    tasks = [bench.task(FINE), leaking, bench.task(SLOW)]
    assert [result.outcome for result in bench.run(tasks)] == ["captured"] * 3
    # The second time it is its process's first: what it answers is what it would anywhere.
    assert [line for line in bench.log if line.startswith(("setup", "call"))] == [
        "setup",
        f"call {FINE}",
        f"call {LEAK}",
        "setup",
        f"call {LEAK}",
        "setup",
        f"call {SLOW}",
    ]
    assert Trace.read(leaking.out).provenance["left_changed"] == ["numpy.errors"]
    assert "left_changed" not in Trace.read(tasks[2].out).provenance


def test_random_numbers_begin_anew_for_each_case(bench):
    tasks = [bench.task(DRAW), bench.task(DRAW, dtype="float64"), bench.task(FINE)]
    bench.run(tasks)
    assert bench.log.count("setup") == 1
    first, second = (line for line in bench.log if line.startswith("drew"))
    assert first == second


def test_memory_stays_flat_over_checkpoints(bench, of_our_table, processes):
    before, sizes = {worker.pid for worker in workers()}, []
    for index in range(5):
        checkpoint = bench.checkpoint(f"model-{index}")
        run(processes, *(bench.task(FINE, operation, checkpoint=checkpoint) for operation in ("forward", "gradients")))
        (worker,) = (worker for worker in workers() if worker.pid not in before)
        sizes.append(worker.memory_info().rss)
    assert bench.log.count("setup") == 1
    assert sizes[-1] - sizes[1] < 4_000_000, sizes


def test_order_and_company_change_no_trace(bench):
    """The same cases in one process in another order, and each in a process of its own, bring the same."""

    def answers(*groups):
        found = {}
        for tasks in groups:
            bench.run(tasks)
            for task in tasks:
                trace = Trace.read(task.out)
                found[task.case["name"], task.variant] = {name: array.tobytes() for name, array in trace.arrays.items()}
                os.unlink(task.out)
        return found

    tasks = [bench.task(DRAW), bench.task(FINE), bench.task(LEAK, "tuple"), bench.task(FINE, "gradients")]
    assert answers(tasks) == answers(tasks[::-1]) == answers(*([task] for task in tasks))
