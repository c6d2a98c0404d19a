"""What an interpreter holds: versions, digests of library sources, machine. Nothing is imported to find out.

``describe`` runs in the stack's interpreter (``worker.py --probe``), ``probe`` asks it from here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from parity.capture.tasks import CaptureError

WORKER = Path(__file__).with_name("worker.py")
EVENT = b'{"event": '
"""How a worker's lines begin."""
PROBE_LIMIT = 60.0
CUDA_LIMIT = 180.0


def probe(
    stack: str, interpreter: Path, environment: Mapping[str, str], backends: Sequence[str], *, cuda: bool = False
) -> dict[str, Any]:
    """Describes a stack in one subprocess, under a second unless ``cuda`` is asked for.

    Returns:
        ``interpreter``, ``python``, ``versions`` (by distribution), ``sources`` (digest by backend, None where a
        package is not installed), ``cpu``, ``cores``, ``os`` and, when asked, ``cuda`` (what torch and JAX see).

    Raises:
        CaptureError: the interpreter cannot be started or does not answer.
    """
    from parity.backends.registry import find_entry

    wanted = {
        name: {"distributions": entry.distributions, "sources": [(s.package, s.patterns) for s in entry.sources]}
        for name, entry in ((name, find_entry(name)) for name in backends)
    }
    job = {"backends": wanted, "cuda": cuda, "parent": os.getpid()}
    facts = _ask(stack, interpreter, environment, job, CUDA_LIMIT if cuda else PROBE_LIMIT)
    return {"interpreter": str(interpreter), "environment": dict(environment), **facts}


def _ask(
    stack: str, interpreter: Path, environment: Mapping[str, str], job: dict[str, Any], limit: float
) -> dict[str, Any]:
    command = [str(interpreter), str(WORKER), "--probe"]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=child_environment(environment), bufsize=0,
        )  # fmt: skip
    except OSError as error:
        raise CaptureError(f"{interpreter}: cannot be started as stack {stack}: {error.strerror}") from error
    limiter = threading.Timer(limit, child.kill)
    limiter.start()
    try:
        _tell(child.stdin, json.dumps(job))
        # stdin stays open until the answer is there: its end would end the probe.
        answer = next((line for line in child.stdout if line.startswith(EVENT)), b"")
        complaints = child.stderr.read()
    finally:
        over_time = not limiter.is_alive()
        limiter.cancel()
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()
    if over_time:
        raise CaptureError(f"{interpreter}: stack {stack} did not answer within {limit:g} s")
    if not answer.endswith(b"\n"):
        last = (complaints.decode(errors="replace").strip().splitlines() or ["nothing on stderr"])[-1]
        raise CaptureError(f"{interpreter}: stack {stack} cannot run the worker: {last}")
    return json.loads(answer)["facts"]


def _tell(pipe: IO[bytes], line: str) -> None:
    try:
        pipe.write(line.encode() + b"\n")
    except BrokenPipeError:  # it ended without reading; what it left on stderr says why
        return


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, the stack's on top (an empty value takes a variable away).

    A JAX that shares a GPU must not take all of its memory at once. numpy's own products are few, and its threads wait
    for each other ten times longer than they compute where a framework's are at work beside them. PyTorch's threads
    give the processor away while they wait: spinning, two workers on two cores took ten times as long for small models.
    Sums are split the same either way.
    """
    ours = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    merged = {**ours, **os.environ, "PYTHONUNBUFFERED": "1", **environment}
    return {name: value for name, value in merged.items() if value or name not in environment}


def describe(job: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the interpreter this runs in."""
    distributions = sorted({name for wanted in job["backends"].values() for name in wanted["distributions"]})
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: found for name in distributions if (found := _version(name))},
        "sources": _all_sources(job["backends"]),
        "cpu": _cpu(), "cores": cores(),
        "os": platform.platform(), "executable": sys.executable,
    }  # fmt: skip
    if job.get("cuda"):
        facts["cuda"] = _cuda()
    return facts


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _all_sources(backends: Mapping[str, Any]) -> dict[str, str | None]:
    known: dict[str, str | None] = {}
    digests = {}
    for name, wanted in backends.items():
        roots = json.dumps(wanted["sources"])
        if roots not in known:
            known[roots] = _sources(wanted["sources"])
        digests[name] = known[roots]
    return digests


def _sources(roots: Iterable[tuple[str, Sequence[str]]]) -> str | None:
    from parity.backends.registry import SourceRoot

    digest = hashlib.sha256()
    for package, patterns in roots:
        spec = importlib.util.find_spec(package)  # of a top-level name: finds it without importing it
        if spec is None:
            return None
        if spec.submodule_search_locations is None:
            add_file(digest, package, Path(spec.origin))
        for folder in map(Path, spec.submodule_search_locations or ()):
            for file in SourceRoot(package, tuple(patterns)).files(folder):
                add_file(digest, f"{package}/{file.relative_to(folder).as_posix()}", file)
    return digest.hexdigest()[:32]


def add_file(digest: Any, name: str, file: Path) -> None:
    """Adds a file's name, size and bytes."""
    content = file.read_bytes()
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cuda() -> dict[str, Any]:
    """What each framework sees; why not, where it sees nothing."""
    return {"torch": _attempt(_torch_devices), "jax": _attempt(_jax_devices), "driver": _attempt(_driver)}


def _attempt(ask: Any) -> Any:
    try:
        return ask()
    except Exception as error:
        return {"devices": [], "reason": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def _torch_devices() -> dict[str, Any]:
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"devices": devices, "cuda": torch.version.cuda}


def _jax_devices() -> dict[str, Any]:
    import jax

    return {"devices": [device.device_kind for device in jax.devices("gpu")]}


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()[0]
