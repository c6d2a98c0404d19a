"""Layers that are given states from elsewhere: what each makes of the oracle's own input, whatever came before it.

One pass asks all layers at once: each is handed the state that the oracle had there in the place of what the layer
before it made, so that no error of one reaches the next. Wherever a family keeps its layers, the first name of the path
says which half they are of and the last how many are before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

_LAYER = re.compile(r"^(?:model\.)?(encoder|decoder)\.(?:.+\.)?(?:layers|layer|h)\.(\d+)$")
MEMORY = "encoder.last"
"""The state that cross-attention looks at."""
States = Mapping[str, Any]
"""By canonical name of the state that a layer is given, ``encoder.hidden.0`` for the first; the framework's arrays."""


def state_of(path: str) -> str | None:
    """The state that a module at this dotted path is given; None where it is no layer of a stack.

    A speech encoder's adapter has layers too, behind the stack's: they are none of it.
    """
    found = None if ".adapter." in path else _LAYER.match(path)
    return None if found is None else f"{found[1]}.hidden.{found[2]}"


def instead(
    state: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's arguments with this state for the one it was given, first or by name."""
    if arguments:
        return (state, *arguments[1:]), dict(keywords)
    return (), {**keywords, "hidden_states": state}


@contextmanager
def in_torch(model: Any, states: States) -> Iterator[None]:
    """Feeds the layers of a PyTorch model by hooks before their call."""

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
    """Feeds the layers of whatever Flax (linen) model is called meanwhile."""
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
    """Feeds Keras layers by their own ``call``.

    Args:
        layers: each under the name of the state that it is given.
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
    """Feeds the layers of a Flax (nnx) model by standing in for them: compiled functions see another model."""
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
