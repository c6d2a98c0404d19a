"""A crash, a hang or a kill is the outcome of its case, and of no other."""

from __future__ import annotations

import time

import pytest

from parity.capture.executor import LocalProcesses
from parity.capture.task import CaptureError, covered
from parity.core import backends
from parity.core.trace import Trace
from tests.capture.conftest import run_tasks, workers
from tests.capture.fake_backend import ABORT, EXIT, FINE, HANG, KILLED, LEAVE, NO_MEMORY, PRINT, RAISE, SLOW


def outcomes(results):
    return [result.outcome for result in results]


def test_a_crash_is_one_cases_outcome_and_the_rest_goes_on(bench):
    tasks = [
        bench.task(FINE),
        bench.task(ABORT),
        bench.task(PRINT),
        bench.task(EXIT),
        bench.task(LEAVE),
        bench.task(SLOW),
    ]
    results = bench.run(tasks)
    assert outcomes(results) == ["captured", "crash", "captured", "crash", "crash", "captured"]
    assert "SIGABRT" in results[1].reason and "in misbehave" in results[1].reason
    assert "exit code 3" in results[3].reason and "the last thing it said" in results[3].reason
    assert [task.out.exists() for task in tasks] == [True, False, True, False, False, True]
    assert bench.log.count("setup") == 4


def test_a_hang_is_stopped_with_its_process_at_the_time_limit(bench):
    began = time.monotonic()
    executor = LocalProcesses(bench.folder, jobs=1, time_limit=1.5)
    tasks = [bench.task(HANG), bench.task(FINE)]
    found = run_tasks(executor, tasks)
    results = [found[task.id] for task in tasks]
    assert outcomes(results) == ["time-out", "captured"]
    assert executor.usage.backend_seconds > 1.4, "the time it hung is the backend's"
    assert "1.5 s" in results[0].reason
    assert time.monotonic() - began < 10


def test_a_kill_from_outside_is_out_of_memory(bench):
    results = bench.run([bench.task(KILLED), bench.task(FINE)])
    assert outcomes(results) == ["out-of-memory", "captured"]
    assert "SIGKILL" in results[0].reason


def test_a_memory_error_is_out_of_memory_and_needs_no_new_worker(bench):
    results = bench.run([bench.task(NO_MEMORY), bench.task(FINE)])
    assert outcomes(results) == ["out-of-memory", "captured"]
    assert "no more" in results[0].reason
    assert bench.log.count("setup") == 1


def test_what_a_backend_raises_is_an_answer(bench):
    task = bench.task(RAISE)
    assert outcomes(bench.run([task])) == ["captured"]
    raised = Trace.read(task.out).raised
    assert (raised.type, raised.message, raised.phase) == ("ValueError", "it cannot", "call")
    assert raised.frame.startswith("parity_fake/__init__.py:") and raised.frame.endswith(" in misbehave")


def test_a_load_that_raises_is_tried_once_and_answers_every_case(bench):
    checkpoint = bench.checkpoint("unloadable", load=RAISE)
    tasks = [bench.task(FINE, checkpoint=checkpoint), bench.task(FINE, "load", checkpoint=checkpoint), bench.task(FINE)]
    assert outcomes(bench.run(tasks)) == ["captured"] * 3
    assert [Trace.read(task.out).raised.phase for task in tasks[:2]] == ["load", "load"]
    assert Trace.read(tasks[2].out).raised is None
    assert bench.log.count("load unloadable eager float32") == 1


def test_a_load_that_crashes_is_tried_once(bench):
    checkpoint = bench.checkpoint("crashing", load=ABORT)
    tasks = [bench.task(FINE, checkpoint=checkpoint), bench.task(SLOW, checkpoint=checkpoint), bench.task(FINE)]
    results = bench.run(tasks)
    assert outcomes(results) == ["crash", "crash", "captured"]
    assert results[1].reason.startswith("loading the model: ")
    assert bench.log.count("load crashing eager float32") == 1


def test_a_bug_of_ours_is_a_harness_error_with_its_traceback(bench):
    results = bench.run([bench.task(FINE, operation="no-such"), bench.task(FINE)])
    assert outcomes(results) == ["harness-error", "captured"]
    assert "unknown operation 'no-such'" in results[0].reason and "Traceback" in results[0].reason


def test_a_worker_that_cannot_start_says_why_for_each_of_its_tasks(bench):
    bench.environment["FAKE_SETUP"] = "broken"
    results = bench.run([bench.task(FINE), bench.task(SLOW)])
    assert outcomes(results) == ["crash", "crash"]
    assert all(result.reason.endswith("ImportError: libfake.so: cannot open shared object file") for result in results)
    assert bench.log.count("setup") == 1


def test_a_worker_that_hangs_while_starting_is_stopped(bench):
    bench.environment["FAKE_SETUP"] = "hang"
    results = bench.run([bench.task(FINE), bench.task(SLOW)], time_limit=1.0)
    assert outcomes(results) == ["time-out", "time-out"]
    assert "start of the worker" in results[0].reason


def test_an_interpreter_that_is_not_there_is_an_outcome(bench, tmp_path):
    results = bench.run([bench.task(FINE, interpreter=tmp_path / "nowhere")])
    assert outcomes(results) == ["crash"]
    assert "nowhere: cannot be started" in results[0].reason


def test_traces_that_cannot_be_written_end_the_run_with_one_line(bench):
    (bench.folder / "file").write_text("")
    task = bench.task(FINE)
    broken = type(task)(**{**task.__dict__, "out": bench.folder / "file" / "trace.safetensors"})
    with pytest.raises(CaptureError, match=r"^.*/file/?.*: .*$") as error:
        bench.run([broken, bench.task(FINE)])
    assert "\n" not in str(error.value)


def test_a_loaded_model_serves_all_its_cases(bench):
    other = bench.checkpoint("other")
    tasks = [
        bench.task(FINE),
        bench.task(FINE, checkpoint=other),
        bench.task(FINE, "tuple"),
        bench.task(FINE, "repeat"),
    ]
    bench.run(tasks)
    assert [line for line in bench.log if line.startswith("load")] == [
        "load model eager float32",
        "load other eager float32",
    ]


def test_workers_run_side_by_side_up_to_jobs_and_memory(bench):
    slow = [bench.task(SLOW, stack=name) for name in ("one", "two")]

    def overlap(**options):
        executor = LocalProcesses(bench.folder, time_limit=20.0, **options)
        run_tasks(executor, slow)
        lengths = sum(end - start for start, end in executor.usage.intervals)
        assert executor.usage.peak_memory > 20_000_000
        return lengths - executor.usage.backend_seconds

    assert overlap(jobs=2, memory=1 << 40) > 0.1
    assert overlap(jobs=1, memory=1 << 40) < 0.01
    assert overlap(jobs=2, memory=1) < 0.01


def test_covered_counts_overlapping_time_once():
    assert covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.2, 5.4)]) == pytest.approx(4.0)
    assert covered([]) == 0.0


def rounds(finished, name, *tasks):
    """Work of one task a round, each planned when the one before has ended."""
    for task in tasks:
        found = yield [task]
        finished.append((name, found[task.id].outcome))


def different(bench, name, *behaviours):
    """Tasks that only a process of their own can do, which no other checkpoint's may use."""
    return [bench.task(each, checkpoint=bench.checkpoint(name)) for each in behaviours]


def test_rounds_of_one_job_at_a_time_follow_the_order_of_the_work(bench):
    finished = []
    work = [rounds(finished, name, *different(bench, name, FINE, RAISE)) for name in ("one", "other")]
    LocalProcesses(bench.folder, jobs=1, time_limit=20.0).run_rounds(work, lambda *event: None)
    assert finished == [("one", "captured")] * 2 + [("other", "captured")] * 2


def test_later_work_is_begun_where_the_earlier_leaves_a_core_free(bench):
    finished, begun = [], []
    work = [rounds(finished, name, *different(bench, name, SLOW, ABORT)) for name in ("one", "other", "last")]
    executor = LocalProcesses(bench.folder, jobs=2, time_limit=20.0, memory=1 << 40)
    executor.run_rounds(work, lambda kind, task, result: begun.append(task.checkpoint.name) if kind == "started" else 0)
    assert set(begun[:2]) == {"one", "other"}, "the last one waits until a core is free"
    for name in ("one", "other", "last"):
        assert [outcome for each, outcome in finished if each == name] == ["captured", "crash"]


def test_two_pieces_of_work_take_turns_at_a_worker_that_they_share(bench, monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "fake", backends.find_entry("fake"))
    finished = []
    work = [rounds(finished, name, *different(bench, name, FINE, SLOW)) for name in ("one", "other")]
    with LocalProcesses(bench.folder, jobs=2, time_limit=20.0, memory=1 << 40) as executor:
        executor.run_rounds(work, lambda *event: None)
    assert sorted(finished) == [("one", "captured")] * 2 + [("other", "captured")] * 2
    assert bench.log.count("setup") == 1


def test_an_error_while_planning_ends_every_worker(bench):
    before = len(workers())

    def broken():
        yield different(bench, "one", FINE)
        raise CaptureError("the disk is full")

    others = rounds([], "other", *different(bench, "other", HANG))
    executor = LocalProcesses(bench.folder, jobs=2, time_limit=20.0, memory=1 << 40)
    with pytest.raises(CaptureError, match="full"):
        executor.run_rounds([broken(), others], lambda *event: None)
    assert len(workers()) == before and others.gi_frame is None
