"""Claims, each judged on traces only. Importing this package registers every check in ``CHECKS``."""

from importlib import import_module

from parity.checks.base import CHECKS, Check

FAMILIES = ("loading", "saving", "outputs", "numbers", "attention", "losses", "invariance", "cache", "generation")
"""One module a family, in the order a reader wants them: what is loaded and saved, what comes back, is it right."""

for family in FAMILIES:
    import_module(f"parity.checks.{family}")

__all__ = ["CHECKS", "FAMILIES", "Check"]
