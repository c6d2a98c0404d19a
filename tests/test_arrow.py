"""Imports point one way: reference, backends, capture, command line; checks know traces and no frameworks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("torch", "tensorflow", "jax", "flax", "keras", "tf_keras")
COMMAND = (
    "parity.cli.main",
    "parity.api",
    "parity.show",
    "parity.tools.doctor",
    "parity.cli.exit_codes",
    "parity.pytest_plugin",
    "parity.cli.golden",
    "parity.cli.reports",
    "parity.report.export",
)
FORBIDDEN = {
    "reference": ("transformers", "parity"),
    "reference/in_torch": ("jax", "flax", "tensorflow", "reference.in_flax"),
    "reference/in_flax": ("torch", "tensorflow", "reference.in_torch"),
    "reference/weights": FRAMEWORKS,
    "reference/tokenizer": ("numpy", "regex", "tokenizers", *FRAMEWORKS),
    "parity/backends": (
        "parity.capture",
        "parity.judge.checks",
        "parity.judge.judge",
        "parity.core.records",
        "pydantic",
        *COMMAND,
    ),
    # The probe, in its own process, asks torch and jax for CUDA devices.
    "parity/capture": ("parity.judge.checks", "parity.judge.judge", "transformers", *COMMAND),
    "parity/judge/checks": ("parity.backends", "parity.capture", "transformers", *FRAMEWORKS, *COMMAND),
    "parity/backends/mutants": (
        "parity.capture",
        "parity.judge.checks",
        "parity.judge.judge",
        "transformers",
        "pydantic",
        *COMMAND,
    ),
    "parity/tools/golden": ("transformers", *FRAMEWORKS),
    "parity/show": ("parity.backends", "transformers", *FRAMEWORKS),
}
FILES_OF_THE_JUDGE = (
    "judge",
    "baseline",
    "gate",
    "judged",
    "compare",
    "sides",
    "tensor_rows",
    "outcomes",
    "evidence",
    "excused",
    "initial_values",
    "results",
    "run",
    "measured",
    "texts",
    "derived",
    "saving",
    "generated",
    "budgets",
    "ledger",
    "explained",
    "ledger_errors",
    "unshown",
    "suspicion",
    "tensors",
    "traces",
    "cases",
)
FORBIDDEN |= {f"parity/{name}.py": FORBIDDEN["parity/judge/checks"] for name in FILES_OF_THE_JUDGE}
# Two files are scripts for the processes that examples run in. What makes the stand-ins (parity/tools/examples/making)
# runs in a process of its own, with every framework.
DOCS = ("parity.judge.checks", "parity.judge.judge", "parity.backends", *FRAMEWORKS, *COMMAND)
FORBIDDEN |= {
    f"parity/tools/examples/{file.name}": DOCS for file in sorted((ROOT / "parity/tools/examples").glob("*.py"))
} | {
    "parity/tools/examples/runner.py": ("parity", "transformers", *FRAMEWORKS),
    "parity/tools/examples/docstrings.py": ("parity", *FRAMEWORKS),
}


def imported(file: Path) -> Iterator[str]:
    """Every module a file names in an import, also inside functions, but not for type checkers alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("place", FORBIDDEN)
def test_imports_point_one_way(place):
    path = ROOT / place
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert files
    against = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files
        for module in imported(file)
        for forbidden in FORBIDDEN[place]
        if module == forbidden or module.startswith(f"{forbidden}.")
    ]
    assert against == []
