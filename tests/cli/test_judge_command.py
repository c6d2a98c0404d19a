"""``parity judge`` on a captured run, where no framework can be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FRAMEWORKS = ("torch", "tensorflow", "jax", "flax", "keras", "tf_keras", "transformers")
BLOCKED = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FRAMEWORKS}:
            raise ImportError(f"{{name}} is not to be imported here")

sys.meta_path.insert(0, Block())
from parity.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_judging_needs_no_framework(run_directory: Callable[..., Path]):
    directory = run_directory()
    command = [sys.executable, "-c", BLOCKED, "judge", str(directory)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    report = json.loads((directory / "report.json").read_text())
    assert "Traceback" not in ended.stderr
    assert report["totals"]["pass"] > 20
    assert report["totals"]["error"] == 0, [v for v in report["verdicts"] if v["status"] == "error"]
    assert ended.returncode == (1 if report["totals"]["fail"] else 0)
    assert sum(report["totals"].values()) == len(report["verdicts"])
