"""What is kept: one padded batch through the whole model, and the texts of a greedy and of a beam search."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from parity.cases.standard import SEED, standard_cases
from parity.core.backends import library_backends
from parity.core.case import Case
from parity.core.model_spec import ModelSpec
from parity.core.tensors import forward_tensors
from parity.core.trace import Trace

__all__ = ["CASES", "LACKING", "SEED", "STACKS", "golden_backends", "golden_cases", "trimmed"]

STACKS = ("main", "docs-4.37", "current")
"""Recorded of each fixture; what needs a GPU differs from one to the next."""
CASES = ("forward", "generate.greedy", "generate.beams")
LEFT_OUT = ("attention", "cross-attention")
"""Kinds of tensors: half of an answer's bytes, and what goes wrong in them shows in the states after them."""
LACKING = {"attentions": "a golden keeps none"}
"""What a golden subject lacks beside what its backend does."""


def golden_backends(offered: Collection[str]) -> list[str]:
    """The libraries' backends among those that a stack offers, in eager attention."""
    return [f"{name}/eager" for name in library_backends() if name in offered]


def golden_cases(model_spec: ModelSpec, rows: list[dict[str, Any]] | None, generation: dict[str, Any]) -> list[Case]:
    """The standard cases of which traces are kept; the synthetic batch's, whatever ``rows`` are."""
    return [case for case in standard_cases(model_spec, None, generation) if case.name in CASES]


def trimmed(trace: Trace, model_spec: ModelSpec) -> Trace:
    """A trace without the tensors that are not kept."""
    left_out = {spec.name for spec in forward_tensors(model_spec) if spec.kind in LEFT_OUT}
    arrays = {name: array for name, array in trace.arrays.items() if name not in left_out}
    dtypes = {name: dtype for name, dtype in trace.dtypes.items() if name in arrays}
    return Trace(arrays, trace.facts, trace.raised, dtypes, trace.provenance)
