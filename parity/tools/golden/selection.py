"""The recorded cases: one padded batch through the whole model, and the texts of greedy and beam search."""

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
"""The recorded stacks. Stacks that need a GPU are not reproducible between GPUs."""
CASES = ("forward", "generate.greedy", "generate.beams")
LEFT_OUT = ("attention", "cross-attention")
"""Tensor kinds that are not recorded: they are half of the bytes, and their errors show in the following states."""
LACKING = {"attentions": "not recorded in goldens"}
"""Capabilities that a golden subject lacks in addition to those of its backend."""


def golden_backends(offered: Collection[str]) -> list[str]:
    """The library backends of a stack, with eager attention."""
    return [f"{name}/eager" for name in library_backends() if name in offered]


def golden_cases(model_spec: ModelSpec, rows: list[dict[str, Any]] | None, generation: dict[str, Any]) -> list[Case]:
    """The recorded standard cases; always those of the synthetic batch, whatever ``rows`` is."""
    return [case for case in standard_cases(model_spec, None, generation) if case.name in CASES]


def trimmed(trace: Trace, model_spec: ModelSpec) -> Trace:
    """A trace without the tensors that are not recorded."""
    left_out = {spec.name for spec in forward_tensors(model_spec) if spec.kind in LEFT_OUT}
    arrays = {name: array for name, array in trace.arrays.items() if name not in left_out}
    dtypes = {name: dtype for name, dtype in trace.dtypes.items() if name in arrays}
    return Trace(arrays, trace.facts, trace.raised, dtypes, trace.provenance)
