"""The library's own switches of frameworks are the adapter's to set, whatever the user's shell says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOWN = """
import sys
from pathlib import Path
from parity.backends.registry import get_backend
get_backend(sys.argv[1]).setup(threads=1, device="cpu", cache=Path(sys.argv[2]))
from transformers import utils
print(utils.is_torch_available(), utils.is_tf_available(), utils.is_flax_available())
"""


@pytest.mark.parametrize(
    ("backend", "there", "shell"),
    [
        ("hf-torch", "True False False", {"USE_TORCH": "0", "USE_TF": "1", "USE_FLAX": "1"}),
        ("hf-tf", "False True False", {"USE_TORCH": "1", "USE_TF": "0", "USE_FLAX": "1"}),
        ("hf-flax", "True False True", {"USE_TORCH": "0", "USE_TF": "1", "USE_FLAX": "0"}),
    ],
)
def test_switches_in_the_shell_change_nothing(backend, there, shell, tmp_path):
    pytest.importorskip({"hf-torch": "torch", "hf-tf": "tensorflow", "hf-flax": "flax"}[backend])
    command = [sys.executable, "-c", SHOWN, backend, str(tmp_path)]
    finished = subprocess.run(command, env={**os.environ, **shell}, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == there
