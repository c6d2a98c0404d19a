"""Takes gradients one by one during a PyTorch backward pass, so that never all of them are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def taken(parameters: Iterable[tuple[str, Any]], take: Callable[[str, Any], None]) -> Iterator[None]:
    """In this context each parameter's gradient is passed to ``take`` with the parameter's name as soon as it is
    complete, and then freed.

    A parameter that is used several times (a tied table) has one gradient, the sum, which is passed once.
    """

    def taking(name: str) -> Callable[[Any], None]:
        def hook(parameter: Any) -> None:
            gradient, parameter.grad = parameter.grad, None
            take(name, gradient)

        return hook

    with ExitStack() as hooks:
        for name, parameter in parameters:
            if parameter.requires_grad:
                hooks.callback(parameter.register_post_accumulate_grad_hook(taking(name)).remove)
        yield
