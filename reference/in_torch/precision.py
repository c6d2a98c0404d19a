# Peer reference: reference/in_flax/precision.py
"""How exactly products and exponentials are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

PRECISIONS = ("highest", "default")


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Within it, float32 products run at ``precision``.

    ``highest`` forbids TF32 on CUDA and bfloat16 passes on CPU; ``default`` leaves PyTorch's setting as it is found.

    Raises:
        ValueError: ``precision`` is not one of ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    before = torch.get_float32_matmul_precision()
    if precision == "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def widened(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half precisions as float32, others unchanged: for softmax, which sums exponentials over a whole axis."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
