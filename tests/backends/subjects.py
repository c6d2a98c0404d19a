"""Which backends and variants the adapters' tests ask, and what is expected of each."""

from __future__ import annotations

from importlib.metadata import distributions
from typing import Any

import numpy as np
from packaging.utils import canonicalize_name

from parity.backends.capabilities import capabilities
from parity.core.model_spec import model_spec_of
from parity.core.tensors import forward_tensors
from tests.backends.samples import CONFIG

SUBJECTS = {
    "reference-torch": ("eager", "float64", "bfloat16", "float16"),
    "reference-torch/sdpa": ("sdpa",),
    "reference-flax": ("eager", "bfloat16"),
    "hf-torch": ("eager", "float64", "bfloat16", "float16"),
    "hf-torch/sdpa": ("sdpa",),
    "hf-tf": ("eager",),
    "hf-flax": ("eager", "bfloat16", "float16"),
}
QUICK = ("reference-torch", "hf-torch", "hf-tf")
"""Those that are answered in seconds; what the others answer, `nox -s tests-full` tests."""
ROUNDING = {"float64": 1e-5, "float32": 1e-5, "bfloat16": 0.1, "float16": 0.02}
"""Relative to a tensor's largest element: a misnamed or misplaced array is off by about 1, rounding by far less.

The truth here is the reference in float32, so that float64 can be no nearer.
"""


def only(*names: str) -> Any:
    """A test of these subjects of ``SUBJECTS`` alone."""

    def mark(function: Any) -> Any:
        function.subjects = names
        return function

    return mark


def can(name: str, dtype: str = "float32") -> list[str]:
    """What a subject of ``SUBJECTS`` claims, with what is installed here."""
    # A distribution may spell itself with underscores (tensorflow_cpu); the probe asks by the canonical name.
    versions = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions()}
    backend, _, variant = name.partition("/")
    return capabilities(backend, variant or "eager", versions, dtype=dtype)[0]


def expected_names(name: str) -> list[str]:
    found = [spec.name for spec in forward_tensors(model_spec_of(CONFIG)) if spec.name != "loss"]
    return found if "attentions" in can(name) else [array for array in found if "attention" not in array]


def assert_near(arrays: dict[str, np.ndarray], truth: dict[str, np.ndarray], tolerance: float) -> None:
    assert arrays
    for name, array in arrays.items():
        # A key bias has no gradient in theory: what comes back is rounding on both sides.
        scale = np.abs(truth[name.replace("k_proj.bias", "k_proj.weight")]).max()
        assert np.abs(array - truth[name]).max() <= tolerance * scale, name
