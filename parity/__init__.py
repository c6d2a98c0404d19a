"""Do all the implementations that claim to run an encoder-decoder checkpoint compute the same thing?

The Python API is ``parity.audit`` with ``parity.AuditOptions`` and, for its two halves, ``parity.api.capture`` and
``parity.api.judge`` (the plain names belong to the packages). This module imports nothing but the standard library when
it is loaded, because capture processes run in interpreters that have none of our dependencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parity.core.version import __version__

if TYPE_CHECKING:
    from parity.api import audit
    from parity.core.options import AuditOptions

__all__ = ["AuditOptions", "__version__", "audit"]


def __getattr__(name: str) -> Any:
    if name == "audit":
        from parity.api import audit

        return audit
    if name == "AuditOptions":
        from parity.core.options import AuditOptions

        return AuditOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
