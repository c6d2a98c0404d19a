# Peer reference: reference/in_torch/model.py
"""The base class of all models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import jax
from flax import nnx
from jax import Array

from reference.config import Config

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=Config)
"""The config class of an architecture."""


def compiled(function: F) -> F:
    """``jax.jit`` of a function or method, with the type annotation preserved."""
    return cast(F, jax.jit(function))


class Buffer(nnx.Variable):
    """An array that is loaded with the parameters but not trained."""


class Model(nnx.Module, Generic[C]):
    """A model of any supported architecture.

    Attributes:
        model_class: the documented class; None for the default of the architecture (``reference.config.classes``).
        precision: precision of float32 matrix products (``reference.in_flax.precision``).
    """

    config: C
    model_class: str | None = None
    precision: str

    def like(self) -> Array:
        """Any parameter of the model, for its dtype and device."""
        raise NotImplementedError
