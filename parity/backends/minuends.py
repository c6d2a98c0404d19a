"""How large the gradients of queries and keys are before softmax's derivative subtracts from them.

The gradient of a score is ``weight · g - weight · Σ weight · g``, with ``g`` that of the weight (softmax's derivative).
Where a query sees one key, or keys that are alike, the two terms are all but equal, and so nothing much is left of the
gradient of queries and keys. What honest arithmetic errs is still a rounding of the terms, which may be a thousand
times what is left: an error is relative to what was subtracted from, the minuend (Higham 2002, Accuracy and Stability
of Numerical Algorithms, section 1.7, on cancellation). The oracle says how large that is.

A weight's gradient is itself a sum, ``g = Σ dO · value`` over ``head_dim``. Of many queries and keys some are as large
as their terms; the only one there is may be almost nothing, and then its rounding is that of its terms (Higham, section
3.1). The oracle therefore also says how large the minuend would be with ``g`` as large as its terms are in root sum of
squares, which is what a sum of as many terms of any sign comes to (``parity.budgets`` has it in the unit roundoff).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Seen:
    """One projection of a pass to queries or keys: its module's name, what it gave, and two copies of that, of which
    one receives the minuend and one what it would be by its terms."""

    name: str
    given: Any
    minuend: Any
    terms: Any


def sizes(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Root mean square of each such minuend and what it would be by its terms, as ``minuends`` and ``minuend_terms``;
    in each by the canonical name of the projection's weight or bias.

    Args:
        model: the torch reference on its plain path, in float64.
        inputs: what it is called with, labels or positions among them.
    """
    import torch

    from reference.in_torch import as_inputs
    from reference.names import table_of

    rows = {row.ours: row for row in table_of(model.config, model.model_class).rows}
    found: dict[str, dict[str, float]] = {"minuends": {}, "minuend_terms": {}}
    with torch.enable_grad(), _watched(model) as seen:
        loss = model(**as_inputs(model, inputs)).loss
        copies = [copy for each in seen for copy in (each.minuend, each.terms)]
        arrived = iter(torch.autograd.grad(loss, copies, retain_graph=True, allow_unused=True, materialize_grads=True))
        for each in seen:
            names, parameters = zip(*model.get_submodule(each.name).named_parameters(), strict=True)
            for sizes_of, gradient in zip(found.values(), (next(arrived), next(arrived)), strict=True):
                minuends = torch.autograd.grad(each.given, parameters, gradient, retain_graph=True)
                for name, minuend in zip(names, minuends, strict=True):
                    row = rows[f"{each.name}.{name}"]
                    # An array that holds the values' projection as well (GPT-2) is as large as that.
                    if row.part is None:
                        sizes_of[f"gradient.{row.name}"] = float(minuend.square().mean().sqrt())
    return found


@contextmanager
def _watched(model: Any) -> Iterator[list[Seen]]:
    """Within it every attention computes the same weights, and copies of queries and keys receive the minuend alone.

    Of the copies softmax's numerator alone is a function, its denominator held: what comes of that is added to the
    weights and taken away again, so that nothing changes but where gradients go.
    """
    import torch

    from reference.in_torch.attention import Attention

    class WithTerms(torch.autograd.Function):
        """The context unchanged, to whose weights a second gradient goes: the first's sign at the size of its terms."""

        @staticmethod
        def forward(ctx: Any, context: Any, by_terms: Any, value: Any) -> Any:
            ctx.save_for_backward(value)
            return context.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> tuple[Any, Any, None]:
            (value,) = ctx.saved_tensors
            terms = (gradient.square() @ value.square().mT).sqrt()
            return gradient, torch.copysign(terms, gradient @ value.mT), None

    seen: list[Seen] = []

    def watching(name: str, honest: Any) -> Any:
        def attend(query: Any, key: Any, value: Any, keep: Any, head_mask: Any) -> tuple[Any, Any]:
            _, weights = honest(query, key, value, keep, head_mask)

            def numerator() -> tuple[Any, Any, Any]:
                queries, keys = (each.detach().requires_grad_() for each in (query, key))
                scores = torch.where(keep, queries @ keys.mT * query.shape[-1] ** -0.5, 0.0)
                return queries, keys, weights.detach() * (scores - scores.detach()).exp()

            (queries, keys, held), (queries_by_terms, keys_by_terms, by_terms) = numerator(), numerator()
            weights = weights + (held - held.detach())
            seen.append(Seen(f"{name}.q_proj", query, queries, queries_by_terms))
            seen.append(Seen(f"{name}.k_proj", key, keys, keys_by_terms))
            return WithTerms.apply(weights @ value, by_terms, value), weights

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
