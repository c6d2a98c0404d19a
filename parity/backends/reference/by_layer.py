"""The torch reference in float64 in which each weight matrix is cast to float64 only while it is used.

A float64 model needs twice the memory of its float32 weights. If that does not fit, the weights of linear layers remain
in the dtype of the file. The model's parameter is then a float64 tensor without storage, which is allocated and filled
before the layer's forward or backward pass, and freed after it. The cast is exact, and each product is the same call
with the same values, so results are bitwise equal to those of the float64 model. All other parameters (embeddings,
normalisations, convolutions) are float64 throughout.
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
    """As ``reference.in_torch.build`` in float64 on the CPU, with the object that fills and frees its parameters.

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
    """A float64 tensor without storage, with the strides of ``stored``: other strides select another kernel."""
    import torch

    tensor = torch.empty_like(stored, dtype=torch.float64)
    tensor.untyped_storage().resize_(0)
    return tensor


class ByLayer:
    """Linear layers whose float64 weights exist only while they are used.

    Args:
        maps: the layers, by the name of their weight.
        sources: the weights in the dtype of the file, under the same names.
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
                # Through ``data``, so that autograd does not see an in-place change: the value is the same as before.
                weight.data.copy_(source)

        return fill

    def _emptying(self, name: str) -> Any:
        weight = self._maps[name].weight

        def empty() -> None:
            weight.untyped_storage().resize_(0)

        return empty
