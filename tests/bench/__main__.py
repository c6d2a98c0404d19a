"""``python -m tests.bench``: measures, prints tables, writes ``reports/bench.json``.

Rounds take turns (A B A B …) within one process for each framework. What compiling costs is measured apart, in fresh
processes by turns: a first call less the median of later ones. JAX's persistent cache is off everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.sides import PAIRS
from tests.bench.summary import broken, summarised, tables
from tests.bench.task import BEAMS, SIZES, described, write_checkpoint
from tests.bench.worker import versions

ROOT = Path(__file__).parents[2]
OFF = {"JAX_ENABLE_COMPILATION_CACHE": "false", "TF_USE_LEGACY_KERAS": "1", "USE_TF": "0", "PYTHONWARNINGS": "ignore"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model: shows that the bench runs, measures nothing"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fresh", type=int, default=3, help="fresh processes for each side and way of searching")
    parser.add_argument("--framework", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "bench.json")
    given = parser.parse_args()
    console = Console()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        runs = [measured(Path(folder), given, console, *case) for case in cases(given.quick, cuda())]
    record = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions(),
              "load": {"before": load, "after": os.getloadavg()}, "rounds": given.rounds, "fresh": given.fresh,
              "runs": [summarised(run) for run in runs]}  # fmt: skip
    for table in tables(record):
        console.print(table)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    console.print(f"{given.out}: load {load[0]:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores")
    faults = [fault for run in record["runs"] for fault in broken(run)]
    for fault in faults:
        console.print(f"[red]{fault}[/red]")
    return 1 if faults else 0


def cases(quick: bool, device: bool) -> list[tuple[str, str, str]]:
    """Size, device and dtype of what is measured: always the CPU, and a CUDA device where there is one."""
    if quick:
        return [("quick", "cpu", "float32")]
    return [("base", "cpu", "float32")] + [("large", "cuda", dtype) for dtype in ("float32", "bfloat16") if device]


def measured(folder: Path, given: argparse.Namespace, console: Console, size: str, device: str, dtype: str) -> dict:
    """Everything about one size on one device: what each framework's process printed, and the fresh ones'."""
    directory = folder / size
    if not directory.exists():
        write_checkpoint(directory, SIZES[size])
    how = ["--size", size, "--device", device, "--dtype", dtype]
    run: dict[str, Any] = {"size": described(SIZES[size]), "device": device, "dtype": dtype, "by": {}, "fresh": []}
    for framework in given.framework:
        if device == "cuda" and framework == "flax" and not jax_sees_it():
            run.setdefault("left_out", []).append("flax: this jax sees no CUDA device")
            continue
        console.print(f"{size}, {device}, {dtype}: {' and '.join(PAIRS[framework])}")
        run["by"][framework] = asked(directory, "--sides", *PAIRS[framework], "--rounds", str(given.rounds), *how)
        for _ in range(given.fresh if framework == "flax" else 0):
            for search in BEAMS:
                for side in PAIRS[framework]:
                    one = asked(directory, "--sides", side, "--rounds", "2", "--asked", search, *how)
                    run["fresh"].append({"side": side, "asked": search, **one["sides"][side]["asked"][search]})
    return run


def asked(directory: Path, *arguments: str) -> dict:
    """What a worker in a process of its own answers."""
    command = [sys.executable, "-m", "tests.bench.worker", str(directory), *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **OFF}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """Where it was measured."""
    import psutil

    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    return {"cpu": model or platform.processor(), "cores": os.cpu_count(), "python": platform.python_version(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9), "cuda": device_name()}  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def cuda() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def device_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def jax_sees_it() -> bool:
    """Asked in another process, so that none holds the device's memory here."""
    code = "import jax; print(jax.default_backend())"
    return "gpu" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
