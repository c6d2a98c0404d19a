"""How large the gradients of queries and keys are before softmax's derivative subtracts from them.

The gradient of a score is ``weight · g - weight · Σ weight · g``, with ``g`` that of the weight (softmax's derivative).
Where a query sees one key, or keys that are alike, the two terms are all but equal, and so nothing much is left of the
gradient of queries and keys. What honest arithmetic errs is still a rounding of the terms, which may be a thousand
times what is left: an error is relative to what was subtracted from, the minuend (Higham 2002, Accuracy and Stability
of Numerical Algorithms, section 1.7, on cancellation). The oracle says how large that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Seen:
    """One attention of a pass: its module's name, and of queries and keys what the projection gave and its copy."""

    name: str
    query: Any
    key: Any
    query_alone: Any
    key_alone: Any


def sizes(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Root mean square of each such minuend, by the canonical name of the projection's weight or bias.

    Args:
        model: the torch reference on its plain path, in float64.
        inputs: what it is called with, labels or positions among them.
    """
    import torch

    from reference.in_torch import as_inputs
    from reference.names import table_of

    rows = {row.ours: row for row in table_of(model.config, model.model_class).rows}
    found: dict[str, float] = {}
    with torch.enable_grad(), _watched(model) as seen:
        loss = model(**as_inputs(model, inputs)).loss
        copies = [copy for each in seen for copy in (each.query_alone, each.key_alone)]
        arrived = torch.autograd.grad(loss, copies, retain_graph=True, allow_unused=True, materialize_grads=True)
        for place, each in enumerate(seen):
            for number, (projection, given) in enumerate((("q_proj", each.query), ("k_proj", each.key))):
                linear = model.get_submodule(f"{each.name}.{projection}")
                names, parameters = zip(*linear.named_parameters(), strict=True)
                minuends = torch.autograd.grad(given, parameters, arrived[2 * place + number], retain_graph=True)
                for name, minuend in zip(names, minuends, strict=True):
                    row = rows[f"{each.name}.{projection}.{name}"]
                    # An array that holds the values' projection as well (GPT-2) is as large as that.
                    if row.part is None:
                        found[f"gradient.{row.name}"] = float(minuend.square().mean().sqrt())
    return found


@contextmanager
def _watched(model: Any) -> Iterator[list[Seen]]:
    """Within it every attention computes the same weights, and copies of queries and keys receive the minuend alone.

    The copies make the weights a second time with softmax's denominator held: what comes of that is added to the
    weights and taken away again, so that nothing changes but where gradients go.
    """
    import torch

    from reference.in_torch.attention import Attention

    seen: list[Seen] = []

    def watching(name: str) -> Any:
        def attend(query: Any, key: Any, value: Any, keep: Any, head_mask: Any) -> tuple[Any, Any]:
            alone = [each.detach().requires_grad_() for each in (query, key)]
            scores, again = (_scores(*pair, keep) for pair in ((query, key), alone))
            held = (again - torch.logsumexp(scores, -1, keepdim=True).detach()).exp()
            weights = torch.softmax(scores, -1) + (held - held.detach())
            if head_mask is not None:
                weights = weights * head_mask.to(value.dtype)[:, None, None]
            seen.append(Seen(name, query, key, *alone))
            return weights @ value, weights

        return attend

    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    before = {name: layer.attend for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.attend = watching(name)
        yield seen
    finally:
        for name, layer in layers.items():
            layer.attend = before[name]


def _scores(query: Any, key: Any, keep: Any) -> Any:
    import torch

    scores = query @ key.mT * query.shape[-1] ** -0.5
    return torch.where(keep, scores, torch.finfo(scores.dtype).min)
