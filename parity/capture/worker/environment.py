"""Describes an interpreter: versions, digests of library sources, machine. Finds out without importing anything."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

EVENT = b'{"event": '
"""Prefix of a worker's output lines."""


def describe(job: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the current interpreter."""
    distributions = sorted({name for wanted in job["backends"].values() for name in wanted["distributions"]})
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": {name: found for name in distributions if (found := _version(name))},
        "sources": _all_sources(job["backends"]),
        "cpu": _cpu(),
        "cores": cores(),
        "os": platform.platform(),
        "executable": sys.executable,
    }
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
    digest = hashlib.sha256()
    for package, patterns in roots:
        spec = importlib.util.find_spec(package)  # for a top-level name: finds it without importing it
        if spec is None:
            return None
        if spec.submodule_search_locations is None and spec.origin is not None:
            add_file(digest, package, Path(spec.origin))
        for folder in map(Path, spec.submodule_search_locations or ()):
            for file in source_files(folder, patterns):
                add_file(digest, f"{package}/{file.relative_to(folder).as_posix()}", file)
    return digest.hexdigest()[:32]


def source_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of a package that match glob patterns relative to its folder, sorted and unique."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def add_file(digest: Any, name: str, file: Path) -> None:
    """Updates the hash with a file's name, size and bytes."""
    content = file.read_bytes()
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)


def cores() -> int:
    """Number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cuda() -> dict[str, Any]:
    """The devices each framework sees, or the error."""
    return {"torch": _attempt(_torch_devices), "jax": _attempt(_jax_devices), "driver": _attempt(_driver)}


def _attempt(describe_devices: Any) -> Any:
    try:
        return describe_devices()
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
