"""The size of the gradients of queries and keys before the subtraction in softmax's derivative.

The gradient of a score is ``weight · g - weight · Σ weight · g``, with ``g`` that of the weight (softmax's derivative).
If a query attends to one key, or to similar keys, the two terms are nearly equal, and the gradient of queries and keys
almost cancels. The rounding error is still relative to the terms, which may be a thousand times larger: errors are
scaled by the minuend (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 1.7, on cancellation). The
oracle computes its size.

A weight's gradient is a sum too, ``g = Σ dO · value`` over ``head_dim``. It may be much smaller than its terms, and its
rounding error is then relative to the terms (Higham, section 3.1). Among many queries and keys, some are as large as
their terms; a single one may not be. The oracle therefore also computes the size of the minuend with ``g`` replaced by
the root sum of squares of its terms, the expected size of a sum of terms with random signs (used with the unit roundoff
in ``parity.judge``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Seen:
    """One attention of a pass: its module's name, its inputs, its weights of unmasked keys, the context."""

    name: str
    query: Any
    key: Any
    value: Any
    weights: Any
    context: Any


def sizes(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Root mean square of each minuend, and of the minuend by the size of its terms, as ``minuends`` and
    ``minuend_terms``; both by the canonical name of the projection's weight or bias.

    Args:
        model: the torch reference on its plain path, in float64.
        inputs: the arguments of the call, including labels or positions.
    """
    import torch

    from reference.in_torch import as_inputs
    from reference.names import table_of

    rows = {row.ours: row for row in table_of(model.config, model.model_class).rows}
    found: dict[str, dict[str, float]] = {"minuends": {}, "minuend_terms": {}}
    with torch.enable_grad(), _watched(model) as seen:
        loss = model(**as_inputs(model, inputs)).loss
    contexts = [each.context for each in seen]
    arrived = torch.autograd.grad(loss, contexts, retain_graph=True, allow_unused=True, materialize_grads=True)
    for each, of_context in zip(seen, arrived, strict=True):
        for fact, of_query, of_key in _minuends(each, of_context):
            for name, given, gradient in (("q_proj", each.query, of_query), ("k_proj", each.key, of_key)):
                layer = f"{each.name}.{name}"
                names, parameters = zip(*model.get_submodule(layer).named_parameters(), strict=True)
                minuends = torch.autograd.grad(given, parameters, gradient, retain_graph=True)
                for parameter, minuend in zip(names, minuends, strict=True):
                    row = rows[f"{layer}.{parameter}"]
                    # A fused array (GPT-2) includes the values' projection, whose gradient does not cancel.
                    if row.part is None:
                        found[fact][f"gradient.{row.name}"] = float(minuend.square().mean().sqrt())
    return found


def _minuends(seen: Seen, of_context: Any) -> Iterator[tuple[str, Any, Any]]:
    """The gradients of queries and keys before the subtraction, and by the size of the terms, each with its key in the
    facts."""
    query, key, value = (each.detach() for each in (seen.query, seen.key, seen.value))
    of_weights = of_context @ value.mT
    terms = (of_context.square() @ value.square().mT).sqrt().copysign(of_weights)
    for fact, gradient in (("minuends", of_weights), ("minuend_terms", terms)):
        of_scores = seen.weights * gradient * query.shape[-1] ** -0.5
        yield fact, of_scores @ key, of_scores.mT @ query


@contextmanager
def _watched(model: Any) -> Iterator[list[Seen]]:
    """In this context every attention computes as before, and its inputs and outputs are recorded."""
    import torch

    from reference.in_torch.attention import Attention

    seen: list[Seen] = []

    def watching(name: str, original: Any) -> Any:
        def attend(query: Any, key: Any, value: Any, keep: Any, head_mask: Any) -> tuple[Any, Any]:
            context, weights = original(query, key, value, keep, head_mask)
            # If all keys are masked, the weights are equal for any scores, so the gradient is zero.
            seen.append(Seen(name, query, key, value, torch.where(keep, weights.detach(), 0.0), context))
            return context, weights

        return attend

    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    before = {name: layer.attend for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.attend = watching(name, layer.attend)
        yield seen
    finally:
        for name, layer in layers.items():
            layer.attend = before[name]
