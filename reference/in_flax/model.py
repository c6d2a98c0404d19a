# Twin: reference/in_torch/model.py
"""What every model has that can be loaded."""

from __future__ import annotations

from flax import nnx
from jax import Array

from reference.config import Config


class Buffer(nnx.Variable):
    """An array that is loaded with the parameters and never trained."""


class Model(nnx.Module):
    """A model of any family.

    Attributes:
        model_class: the documented class it was built as; None for its family's first (``reference.config.classes``).
        precision: of float32 products (``reference.in_flax.precision``).
    """

    config: Config
    model_class: str | None = None
    precision: str

    def like(self) -> Array:
        """A parameter, for its dtype and device."""
        raise NotImplementedError
