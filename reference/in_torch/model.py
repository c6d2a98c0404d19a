# Peer reference: reference/in_flax/model.py
"""What every model has that can be loaded."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

from reference.config import Config

C = TypeVar("C", bound=Config)
"""The kind of config that a family's models are made by."""


class Model(nn.Module, Generic[C]):
    """A model of any family.

    Attributes:
        model_class: the documented class it was built as; None for its family's first (``reference.config.classes``).
        precision: of float32 products (``reference.in_torch.precision``).
    """

    config: C
    model_class: str | None = None
    precision: str

    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        raise NotImplementedError
