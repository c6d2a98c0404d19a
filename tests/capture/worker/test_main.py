"""The worker sees its interpreter's packages and, of ours, only ``parity`` and ``reference``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity.capture.probe import WORKER, probe
from tests.capture.fake_backend import FINE

ROOT = Path(__file__).parents[3]
FAKE = {"module": "parity_fake", "attribute": "Fake", "device": "cpu", "threads": 1, "tasks": []}


def logged(bench, word):
    return next(line for line in bench.log if line.startswith(f"{word} ")).split()[1:]


def test_a_worker_imports_only_the_standard_library_numpy_and_safetensors(bench):
    bench.run([bench.task(FINE)])
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    allowed = {*sys.stdlib_module_names, *(name.partition(".")[0] for name in bare)}
    own = set(logged(bench, "modules")) - allowed
    assert own <= {"__main__", "numpy", "safetensors", "parity", "reference", "parity_fake"} | generated(own)
    assert {"numpy", "parity", "parity_fake"} <= own


def generated(names):
    """numpy's own extension modules register a module for the Cython they were built with; ``sysconfig`` reads one that
    was written as the interpreter was built."""
    return {name for name in names if name.startswith(("_cython_", "cython_runtime", "_sysconfigdata_"))}


def test_our_folders_are_not_on_a_workers_path(bench):
    bench.run([bench.task(FINE)])
    folders = [Path(entry).resolve() for entry in logged(bench, "path")]
    assert ROOT not in folders and WORKER.parent not in folders


def test_what_an_interpreter_prints_as_it_starts_is_not_taken_for_an_event(bench):
    (bench.site / "sitecustomize.py").write_text("print('{noise}', flush=True)\n")
    assert probe("main", Path(sys.executable), bench.environment, ["fake"])["versions"] == {"parity-fake": "1.0"}
    assert bench.run([bench.task(FINE)])[0].outcome == "captured"


def test_the_end_of_stdin_ends_a_worker(bench):
    job = {**FAKE, "cache": str(bench.folder)}
    environment = {**os.environ, **bench.environment, "FAKE_SETUP": "hang"}
    child = subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    child.stdin.write(json.dumps({**job, "parent": os.getpid()}).encode() + b"\n")
    child.stdin.close()
    assert child.wait(timeout=20) == 1


def test_a_worker_of_a_parent_that_is_gone_does_not_start(bench):
    job = {**FAKE, "cache": str(bench.folder), "parent": 1}
    with subprocess.Popen([sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.read() == b""
        assert child.wait(timeout=20) == 1


HELD_AND_FREED = """
import gc, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from parity.capture.worker.main import give_memory_back
if sys.argv[2] == "given":
    give_memory_back()
import numpy as np

def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

# Glibc raises its threshold with the largest array that was freed.
np.ones(1 << 21)
arrays = [np.ones(1 << 18) for _ in range(64)]
before, last = held(), arrays.pop()
arrays.clear()
print(before - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_memory_of_large_arrays_goes_back_when_they_are_freed():
    def freed(how):
        command = [sys.executable, "-c", HELD_AND_FREED, str(ROOT), how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert freed("given") > 100_000 > freed("kept")  # kB, of 128 MB
