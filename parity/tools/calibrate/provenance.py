"""The provenance of a measurement: date, command and versions."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

LIBRARIES = ("numpy", "torch", "jax", "flax", "transformers")


def provenance(command: str) -> dict[str, Any]:
    """The date, ``command`` with this process's arguments, and versions of Python and the libraries."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join([command, *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": [f"{name} {metadata.version(name)}" for name in LIBRARIES],
    }
