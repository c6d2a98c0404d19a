"""What every test runs under: the shapes and types in the signatures of ``reference`` are enforced, call by call."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from beartype import BeartypeConf
from beartype.claw import beartype_packages
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent

# TensorFlow's classes of transformers 4.57.6 need Keras 2, and both read this while they are imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Threads that spin while they wait starve the other worker's (parity.capture.probe.child_environment).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Samples shared by test files are imported as tests.…, wherever pytest was started from.
sys.path.insert(0, str(ROOT))
from tests import profiles  # noqa: E402

# jaxtyping binds the arguments of every call, which is worth its time where there are arrays; the types of what reads
# files and configs are enforced by beartype alone.
install_import_hook(["reference.in_torch", "reference.in_flax"], "beartype.beartype")
beartype_packages(
    [f"reference.{name}" for name in ("config", "names", "weights", "tokenizer", "files", "errors")],
    conf=BeartypeConf(claw_is_pep526=False),
)

profiles.register()

pytest_plugins = ["tests.judge.sample_runs"]
