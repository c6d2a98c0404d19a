"""A run killed at any moment leaves no worker behind and loses nothing that was finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from parity.capture.cache import TraceCache
from tests.capture.scene import SLOW_CASES, SUBJECTS, play, slow_cases

ROOT = Path(__file__).parents[2]


@pytest.fixture
def killed(bench, monkeypatch):
    """Starts the scene's script, waits for some calls, and ends it with a signal; gives its exit code."""
    for name, value in bench.environment.items():
        monkeypatch.setenv(name, value)

    def end(number):
        path = os.pathsep.join([str(ROOT), str(bench.site)])
        script = subprocess.Popen(
            [sys.executable, "-m", "tests.capture.scene", str(bench.folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
            # A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        wait_for(lambda: calls(bench) >= 3 or script.poll() is not None)
        workers = psutil.Process(script.pid).children(recursive=True)
        assert workers and script.poll() is None
        script.send_signal(number)
        code = script.wait(timeout=10)
        wait_for(lambda: not any(is_alive(worker) for worker in workers))
        return code

    return end


def calls(bench):
    return sum(line.startswith("call") for line in bench.log)


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def resume(bench):
    manifest = play(bench.folder, slow_cases, SUBJECTS[2:])
    return [record.cached for record in manifest.traces]


def test_after_sigkill_the_second_run_computes_only_what_is_missing(bench, killed):
    assert killed(signal.SIGKILL) == -signal.SIGKILL
    cached_before, before = len(TraceCache(bench.folder / "cache").list()), calls(bench)
    assert 2 <= cached_before < SLOW_CASES
    cached = resume(bench)
    assert cached.count(True) == cached_before and len(cached) == SLOW_CASES
    assert calls(bench) - before == SLOW_CASES - cached_before


def test_sigterm_ends_the_workers_and_keeps_the_traces(bench, killed):
    assert killed(signal.SIGTERM) == 128 + signal.SIGTERM
    cached_before = len(TraceCache(bench.folder / "cache").list())
    assert 2 <= cached_before < SLOW_CASES
    assert resume(bench).count(True) == cached_before


def test_ctrl_c_ends_the_workers(bench, killed):
    assert killed(signal.SIGINT) in (-signal.SIGINT, 1)
    assert len(TraceCache(bench.folder / "cache").list()) >= 2
