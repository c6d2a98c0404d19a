"""Makes the checkpoints of every recipe, each by the interpreter of its stack."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

from parity.core.stacks import resolve_stack
from tests.saved_checkpoints.recipes import Recipe, recipes

SCRIPT = Path(__file__).with_name("in_stack.py")


def make_all(folder: Path, only: str = "*") -> list[str]:
    """Makes what is not there yet.

    Returns:
        What the interpreters said of recipes that could not be made; also printed.
    """
    groups: dict[tuple[str, str], list[Recipe]] = defaultdict(list)
    for recipe in recipes():
        if fnmatchcase(recipe.name, only) and not (folder / recipe.name).is_dir():
            groups[recipe.stack, recipe.framework].append(recipe)
    said = []
    for (stack, framework), wanted in groups.items():
        said += _make(folder, stack, framework, wanted)
    return said


def _make(folder: Path, stack: str, framework: str, wanted: list[Recipe]) -> list[str]:
    found = resolve_stack(stack)
    with tempfile.TemporaryDirectory() as scratch:
        job = Path(scratch) / "job.json"
        content = {"framework": framework, "out": str(folder.resolve()), "recipes": [each.to_json() for each in wanted]}
        job.write_text(json.dumps(content), encoding="utf-8")
        environment = {name: value for name, value in {**os.environ, **found.environment}.items() if value}
        done = subprocess.run(
            [found.interpreter, SCRIPT, job], env=environment, cwd=scratch, capture_output=True, text=True, check=False
        )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode > 1 or (done.returncode and not lines):
        lines.append(f"{stack} {framework}: {done.stderr[-1000:]}")
    print(f"{stack} {framework}: {len(wanted) - len(lines)} of {len(wanted)} made", *lines, sep="\n  ", flush=True)
    return lines
