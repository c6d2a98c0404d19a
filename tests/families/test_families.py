"""Every family and composition agrees with the library, in both references; a small pool of shapes."""

from __future__ import annotations

import pytest

from tests.families.agreement import differences, example
from tests.families.draw import FAMILIES

TORCH_SHAPES = 4
FLAX_SHAPES = 1
"""Each costs seconds of compilation; the search asks for more."""
POOL = [(name, "torch", shape) for name in FAMILIES for shape in range(TORCH_SHAPES)]
POOL += [(name, "flax", shape) for name in FAMILIES for shape in range(FLAX_SHAPES)]


@pytest.mark.parametrize(("family", "reference", "shape"), POOL)
def test_a_family_computes_what_the_library_does(family: str, reference: str, shape: int) -> None:
    compared = list(differences(example(family, shape, 0), reference))
    assert len(compared) > 5
    assert not [(name, error, allowed) for name, error, allowed in compared if not error <= allowed]
