"""When, by which command and on what versions something was measured."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

LIBRARIES = ("numpy", "torch", "jax", "flax", "transformers")


def about(command: str) -> dict[str, Any]:
    """``command`` with this process's arguments; TensorFlow goes without saying in the version of transformers."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join([command, *sys.argv[1:]]),
        "python": platform.python_version(),
        "versions": [f"{name} {metadata.version(name)}" for name in LIBRARIES],
    }
