"""The torch reference in float64 with each matrix widened only while it is used.

A float64 model takes twice the memory of its float32 weights. Where there is no room for that, every linear map's
weight stays in the type that the file has, and its parameter of the model is a float64 tensor without memory, which is
filled before the map is computed, forwards or backwards, and emptied after it. To widen a number is exact, and each
product is the same call on the same numbers, so that every answer has the bits of the whole model's. The model itself
is unchanged; all other parameters (embedding tables, normalisations, convolutions) are float64 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

DTYPE = "float64"


def build(
    config: Any,
    weights: Mapping[str, np.ndarray],
    *,
    model_class: str | None,
    location: Path,
    attention: str,
    precision: str,
) -> tuple[Any, ByLayer]:
    """As ``reference.in_torch.build`` in float64 on the CPU, and what fills and empties its parameters.

    Raises:
        CheckpointError: a parameter is missing or misshapen (named).
    """
    import torch

    from reference.in_torch.classes import model_of
    from reference.in_torch.loading import from_host
    from reference.names import table_of

    with torch.device("meta"):
        model = model_of(config, model_class, attention, precision)
    linear = {f"{name}.weight": module for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    table, state, sources = table_of(config, model_class), {}, {}
    for name in model.state_dict():
        stored = from_host(table.array(name, weights, location))
        if name in linear:
            sources[name] = stored
            state[name] = _empty(stored)
        else:
            state[name] = stored.to(torch.float64)
    model.load_state_dict(state, assign=True)
    return model.eval(), ByLayer(linear, sources)


def _empty(stored: Any) -> Any:
    """A float64 tensor whose storage has no memory, laid out as the other: another order in memory is another call."""
    import torch

    tensor = torch.empty_like(stored, dtype=torch.float64)
    tensor.untyped_storage().resize_(0)
    return tensor


class ByLayer:
    """Linear maps whose float64 weights exist only while they are used.

    Args:
        maps: by the name of its weight.
        sources: the weights as they are kept, under the same names.
    """

    def __init__(self, maps: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        self._maps, self._sources = maps, sources
        for name, module in maps.items():
            fill, empty = self._filling(name), self._emptying(name)
            module.register_forward_pre_hook(lambda module, given, fill=fill: fill())
            module.register_forward_hook(lambda module, given, made, empty=empty: empty(), always_call=True)
            module.register_full_backward_pre_hook(lambda module, arrived, fill=fill: fill())
            module.register_full_backward_hook(lambda module, left, arrived, empty=empty: empty())

    def parameters(self, model: Any) -> dict[str, Any]:
        """The model's complete state."""
        return model.state_dict() | {name: source.double() for name, source in self._sources.items()}

    @contextmanager
    def emptied_after(self) -> Iterator[None]:
        """Empties parameters after a backward pass, whose end is not reported by a hook if gradients are taken by
        parameter."""
        try:
            yield
        finally:
            for name in self._maps:
                self._emptying(name)()

    def _filling(self, name: str) -> Any:
        source, weight = self._sources[name], self._maps[name].weight

        def fill() -> None:
            storage = weight.untyped_storage()
            if not storage.size():
                storage.resize_(weight.numel() * weight.element_size())
                # By way of ``data``: to autograd this is the same weight as before, and so it is.
                weight.data.copy_(source)

        return fill

    def _emptying(self, name: str) -> Any:
        weight = self._maps[name].weight

        def empty() -> None:
            weight.untyped_storage().resize_(0)

        return empty
