"""The checks. Each reads traces only. Importing this package registers every check in ``CHECKS``."""

from importlib import import_module

from parity.judge.checks.registry import CHECKS, Check

GROUPS = (
    "loading",
    "saving",
    "documented",
    "config",
    "tokenizer",
    "outputs",
    "numbers",
    "attention",
    "losses",
    "invariance",
    "training",
    "cache",
    "generation",
    "sampling",
)
"""One module for each check group, in the order of the report: files and loading first, then outputs, then text."""

for group in GROUPS:
    import_module(f"parity.judge.checks.{group}")

__all__ = ["CHECKS", "GROUPS", "Check"]
