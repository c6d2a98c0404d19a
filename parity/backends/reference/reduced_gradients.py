"""The torch reference's gradients, each reduced as soon as it is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity.backends.torch_gradients import taken


def loss_and_reduced_gradients(
    model: Any, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """``reference.in_torch.loss_and_gradients``, bitwise equal, with each gradient replaced by ``keep`` of it.

    A canonical array made of several parameters is assembled when its last part is complete.
    """
    import torch

    from reference.in_torch import as_inputs
    from reference.in_torch.loading import to_host
    from reference.in_torch.precision import matmul_precision
    from reference.names import table_of

    table = table_of(model.config, model.model_class)
    own = dict(model.named_parameters())
    whole: dict[str, list[Any]] = {}
    for row in table.rows:
        if row.ours in own:
            whole.setdefault(row.name, []).append(row)
    names = {row.ours: name for name, rows in whole.items() for row in rows}
    waiting: dict[str, np.ndarray] = {}
    found: dict[str, Any] = {}

    def take(ours: str, gradient: Any) -> None:
        del left[ours]
        waiting[ours] = to_host(gradient)
        rows = whole[names[ours]]
        if all(row.ours in waiting for row in rows):
            parts = [(row.ours, waiting.pop(row.ours)) for row in rows]
            found.update((name, keep(array)) for name, array in type(table)(tuple(rows)).canonical(parts))

    left = {ours: parameter for ours, parameter in own.items() if ours in names}
    with torch.enable_grad(), matmul_precision(model.precision):
        loss = model(**as_inputs(model, inputs)).loss
        with taken(list(left.items()), take):
            loss.backward()
    for ours, parameter in list(left.items()):  # does not affect the loss: cross-attention without an encoder
        take(ours, torch.zeros_like(parameter))
    return to_host(loss), {name: found[name] for name in whole}
