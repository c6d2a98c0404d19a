"""Do all the implementations that claim to run an encoder-decoder checkpoint compute the same thing?

The Python interface:

- ``audit`` runs checkpoints in every backend, judges them and returns a ``Report``; ``AuditOptions`` has its options.
- ``check`` compares a model of your own, an object of this process, with a checkpoint.
- ``read_report`` reads the ``Report`` of an earlier run, whose ``failures`` are ``Failure`` objects.
- ``compare`` compares two runs or checkpoints tensor by tensor and returns a ``Comparison``.
- ``InputError`` is raised for input that cannot be used; ``CheckpointError`` is one of its classes.

``parity.api`` also has ``capture`` and ``judge``, the two halves of an audit (``parity.capture`` and ``parity.judge``
are packages).

>>> import parity
>>> report = parity.audit(["path/to/checkpoint"], backends=["hf-torch"])  # doctest: +SKIP
>>> report.failures[0].first_divergence.tensor  # doctest: +SKIP
'encoder.hidden.1'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from parity.core.version import __version__

if TYPE_CHECKING:
    from parity.api import audit, compare, read_report
    from parity.core.errors import CheckpointError, InputError
    from parity.core.failure import Failure
    from parity.core.options import AuditOptions
    from parity.core.records import Report
    from parity.own_model import check, tiny
    from parity.tools.compare.compare import Comparison

__all__ = [
    "AuditOptions",
    "CheckpointError",
    "Comparison",
    "Failure",
    "InputError",
    "Report",
    "__version__",
    "audit",
    "check",
    "compare",
    "read_report",
    "tiny",
]

# Workers import this package in interpreters that have none of our dependencies: a name is imported on first use.
_MODULES = {
    "AuditOptions": "parity.core.options",
    "CheckpointError": "parity.core.errors",
    "Comparison": "parity.tools.compare.compare",
    "Failure": "parity.core.failure",
    "InputError": "parity.core.errors",
    "Report": "parity.core.records",
    "audit": "parity.api",
    "check": "parity.own_model",
    "compare": "parity.api",
    "read_report": "parity.api",
    "tiny": "parity.own_model",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(globals() | _MODULES.keys())
