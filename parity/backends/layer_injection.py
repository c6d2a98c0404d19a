"""Layer injection: runs every layer on the oracle's input states, independently of the layers before it.

One pass covers all layers: each receives the oracle's state instead of the previous layer's output, so that errors do
not propagate. In every architecture the first name of a layer's path is its half, and the last its index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

_LAYER = re.compile(r"^(?:model\.)?(encoder|decoder)\.(?:.+\.)?(?:layers|layer|h)\.(\d+)$")
MEMORY = "encoder.last"
"""The state that cross-attention reads."""
States = Mapping[str, Any]
"""The framework's arrays by canonical name of the layer's input state, ``encoder.hidden.0`` for the first layer."""


def state_of(path: str) -> str | None:
    """The input state of the module at this dotted path; None where it is not a layer of a stack.

    The layers of a speech encoder's adapter do not count.
    """
    found = None if ".adapter." in path else _LAYER.match(path)
    return None if found is None else f"{found[1]}.hidden.{found[2]}"


def instead(
    state: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's arguments with its input state replaced, whether positional or by name."""
    if arguments:
        return (state, *arguments[1:]), dict(keywords)
    return (), {**keywords, "hidden_states": state}


@contextmanager
def in_torch(model: Any, states: States) -> Iterator[None]:
    """Injects states into a PyTorch model with forward pre-hooks."""

    def fed(state: Any) -> Callable[..., Any]:
        return lambda module, arguments, keywords: instead(state, arguments, keywords)

    with ExitStack() as hooks:
        for path, module in model.named_modules():
            name = state_of(path)
            if name is not None and name in states:
                handle = module.register_forward_pre_hook(fed(states[name]), with_kwargs=True)
                hooks.callback(handle.remove)
        yield


@contextmanager
def in_linen(states: States) -> Iterator[None]:
    """Injects states into every Flax (linen) model that is called within the context."""
    from flax import linen

    def interceptor(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        name = state_of(".".join(context.module.path)) if context.method_name == "__call__" else None
        if name is not None and name in states:
            arguments, keywords = instead(states[name], arguments, keywords)
        return call(*arguments, **keywords)

    with linen.intercept_methods(interceptor):
        yield


@contextmanager
def in_keras(layers: Iterable[tuple[str, Any]], states: States) -> Iterator[None]:
    """Injects states into Keras layers by replacing their ``call``.

    Args:
        layers: by canonical name of the injected state.
    """

    def fed(call: Callable[..., Any], state: Any) -> Callable[..., Any]:
        def fed_call(*arguments: Any, **keywords: Any) -> Any:
            arguments, keywords = instead(state, arguments, keywords)
            return call(*arguments, **keywords)

        return fed_call

    with ExitStack() as calls:
        for name, layer in layers:
            if name in states:
                calls.callback(setattr, layer, "call", layer.call)
                layer.call = fed(layer.call, states[name])
        yield


@contextmanager
def in_nnx(model: Any, states: States) -> Iterator[None]:
    """Injects states into a Flax (nnx) model by replacing its layers: compiled functions see another model."""
    from flax import nnx

    class Fed(nnx.Module):
        def __init__(self, layer: Any, state: Any) -> None:
            self.layer, self.state = layer, nnx.Variable(state)

        def __call__(self, hidden: Any, *arguments: Any) -> Any:
            return self.layer(self.state[...], *arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.layer, name)

    with ExitStack() as stacks:
        for path, module in list(nnx.iter_modules(model)):
            own = getattr(module, "layers", None)
            if not isinstance(own, nnx.List):
                continue
            names = [state_of(".".join(map(str, (*path, "layers", number)))) or "" for number in range(len(own))]
            if any(name in states for name in names):
                stacks.callback(setattr, module, "layers", own)
                pairs = zip(own, names, strict=True)
                fed = nnx.List(Fed(layer, states[name]) if name in states else layer for layer, name in pairs)
                setattr(module, "layers", fed)  # noqa: B010 (a module of any class)
        yield
