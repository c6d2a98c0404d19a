# Peer reference: reference/in_flax/model.py
"""The base class of all models."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

from reference.config import Config

C = TypeVar("C", bound=Config)
"""The config class of an architecture."""


class Model(nn.Module, Generic[C]):
    """A model of any supported architecture.

    Attributes:
        model_class: the documented class; None for the default of the architecture (``reference.config.classes``).
        precision: precision of float32 matrix products (``reference.in_torch.precision``).
    """

    config: C
    model_class: str | None = None
    precision: str

    def like(self) -> Tensor:
        """Any parameter of the model, for its dtype and device."""
        raise NotImplementedError
