"""Claims, each judged on traces only. Importing this package registers every check in ``CHECKS``."""

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
    "cache",
    "generation",
)
"""One module a group, in a reader's order: what is loaded, saved and read, what comes back, whether it is right."""

for group in GROUPS:
    import_module(f"parity.judge.checks.{group}")

__all__ = ["CHECKS", "GROUPS", "Check"]
