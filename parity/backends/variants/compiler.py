"""The C++ compiler that inductor uses; imports no framework."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache


def command() -> str:
    """The compiler's command, as PyTorch chooses it on Linux (``torch._inductor.config.cpp.cxx``)."""
    return os.environ.get("CXX") or "g++"


@cache
def version() -> str:
    """The first line of the compiler's ``--version``; "" where it cannot be run."""
    path = shutil.which(command())
    if path is None:
        return ""
    try:
        found = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.partition("\n")[0].strip()
