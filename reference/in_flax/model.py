# Peer reference: reference/in_torch/model.py
"""What every model has that can be loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import jax
from flax import nnx
from jax import Array

from reference.config import Config

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=Config)
"""The kind of config that a family's models are made by."""


def compiled(function: F) -> F:
    """``jax.jit`` of a function or a method, which keeps its type."""
    return cast(F, jax.jit(function))


class Buffer(nnx.Variable):
    """An array that is loaded with the parameters and never trained."""


class Model(nnx.Module, Generic[C]):
    """A model of any family.

    Attributes:
        model_class: the documented class it was built as; None for its family's first (``reference.config.classes``).
        precision: of float32 products (``reference.in_flax.precision``).
    """

    config: C
    model_class: str | None = None
    precision: str

    def like(self) -> Array:
        """A parameter, for its dtype and device."""
        raise NotImplementedError
