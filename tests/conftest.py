"""What every test runs under: the shapes in the signatures of ``reference`` are enforced, call by call."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent

# TensorFlow's classes of transformers 4.57.6 need Keras 2, and both read this while they are imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Threads that spin while they wait starve the other worker's (parity.capture.probe.child_environment).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Samples shared by test files are imported as tests.…, wherever pytest was started from.
sys.path.insert(0, str(ROOT))
from tests import profiles  # noqa: E402

install_import_hook("reference", "beartype.beartype")

profiles.register()
