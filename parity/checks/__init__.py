"""Claims, each judged on traces only. Importing this package registers every check in ``CHECKS``."""

from parity.checks import attention, invariance, loading, losses, numbers, outputs  # noqa: F401  (they register)
from parity.checks.base import CHECKS, Check

__all__ = ["CHECKS", "Check"]
