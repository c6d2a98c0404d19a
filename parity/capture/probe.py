"""Runs a stack's interpreter to find out what is installed (``worker/main.py --probe``, ``worker/environment.py``)."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from parity.capture.task import CaptureError
from parity.capture.worker.environment import EVENT
from reference.files import pipe_of

WORKER = Path(__file__).with_name("worker") / "main.py"
PROBE_LIMIT = 60.0
CUDA_LIMIT = 180.0


def probe(
    stack: str, interpreter: Path, environment: Mapping[str, str], backends: Sequence[str], *, cuda: bool = False
) -> dict[str, Any]:
    """Describes a stack in one subprocess, in under a second unless ``cuda`` is true.

    Returns:
        ``interpreter``, ``python``, ``versions`` (by distribution), ``sources`` (digest by backend, None where a
        package is not installed), ``cpu``, ``cores``, ``os`` and, if requested, ``cuda`` (devices visible to torch and
        JAX).

    Raises:
        CaptureError: the interpreter cannot be started or does not respond.
    """
    from parity.core.backends import find_entry

    wanted = {
        name: {"distributions": entry.distributions, "sources": [(s.package, s.patterns) for s in entry.sources]}
        for name, entry in ((name, find_entry(name)) for name in backends)
    }
    job = {"backends": wanted, "cuda": cuda, "parent": os.getpid()}
    facts = _run_probe(stack, interpreter, environment, job, CUDA_LIMIT if cuda else PROBE_LIMIT)
    return {"interpreter": str(interpreter), "environment": dict(environment), **facts}


def _run_probe(
    stack: str, interpreter: Path, environment: Mapping[str, str], job: dict[str, Any], limit: float
) -> dict[str, Any]:
    command = [str(interpreter), str(WORKER), "--probe"]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(environment),
            bufsize=0,
        )
    except OSError as error:
        raise CaptureError(f"{interpreter}: cannot be started as stack {stack}: {error.strerror}") from error
    stdin, stdout, stderr = pipe_of(child.stdin), pipe_of(child.stdout), pipe_of(child.stderr)
    limiter = threading.Timer(limit, child.kill)
    limiter.start()
    try:
        _send(stdin, json.dumps(job))
        # stdin stays open until the result is there, because its end would end the probe.
        line = next((line for line in stdout if line.startswith(EVENT)), b"")
        complaints = stderr.read()
    finally:
        over_time = not limiter.is_alive()
        limiter.cancel()
        child.kill()
        child.wait()
        for pipe in (stdin, stdout, stderr):
            pipe.close()
    if over_time:
        raise CaptureError(f"{interpreter}: stack {stack} did not respond within {limit:g} s")
    if not line.endswith(b"\n"):
        last = (complaints.decode(errors="replace").strip().splitlines() or ["nothing on stderr"])[-1]
        raise CaptureError(f"{interpreter}: stack {stack} cannot run the worker: {last}")
    return json.loads(line)["facts"]


def _send(pipe: IO[bytes], line: str) -> None:
    try:
        pipe.write(line.encode() + b"\n")
    except BrokenPipeError:  # it ended without reading; its stderr has the cause
        return


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, updated by the stack's (an empty value removes a variable).

    JAX must not preallocate all memory of a shared GPU. numpy computes little here, and its own threads, competing with
    a framework's, would wait ten times longer than they compute. PyTorch's threads yield while they wait: if they spin,
    two workers on two cores take ten times as long for small models. The split of sums is the same either way.
    """
    ours = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    merged = {**ours, **os.environ, "PYTHONUNBUFFERED": "1", **environment}
    return {name: value for name, value in merged.items() if value or name not in environment}
