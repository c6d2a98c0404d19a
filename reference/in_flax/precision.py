# Peer reference: reference/in_torch/precision.py
"""Precision of matrix products and exponentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

PRECISIONS = ("highest", "default")


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """A context in which matrix products are traced at ``precision``.

    ``highest`` is ``jax.lax.Precision.HIGHEST`` (no TF32 on CUDA); ``default`` leaves JAX's setting unchanged.

    Raises:
        ValueError: ``precision`` is not one of ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    # Attributes of jax.config are created at import.
    before = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    with jax.default_matmul_precision("highest" if precision == "highest" else before):
        yield


def widened(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Casts half precisions to float32, for softmax, which sums exponentials over an axis; others are unchanged."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
