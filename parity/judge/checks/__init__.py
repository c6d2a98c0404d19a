"""Claims, each judged on traces only. Importing this package registers every check in ``CHECKS``."""

from importlib import import_module

from parity.judge.checks.registry import CHECKS, Check

FAMILIES = (
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
"""One module a family, in a reader's order: what is loaded, saved and read, what comes back, whether it is right."""

for family in FAMILIES:
    import_module(f"parity.judge.checks.{family}")

__all__ = ["CHECKS", "FAMILIES", "Check"]
