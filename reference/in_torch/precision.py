# Peer reference: reference/in_flax/precision.py
"""Precision of matrix products and exponentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

PRECISIONS = ("highest", "default")


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """A context in which float32 matrix products are computed at ``precision``.

    ``highest`` disables TF32 on CUDA and bfloat16 passes on CPU; ``default`` leaves PyTorch's setting unchanged.

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
    """Casts half precisions to float32, for softmax, which sums exponentials over an axis; others are unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
