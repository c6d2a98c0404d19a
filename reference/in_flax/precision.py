# Peer reference: reference/in_torch/precision.py
"""How exactly products and exponentials are computed."""

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
    """Within it, products are traced at ``precision``.

    ``highest`` is ``jax.lax.Precision.HIGHEST`` (no TF32 on CUDA); ``default`` leaves JAX's setting as it is found.

    Raises:
        ValueError: ``precision`` is not one of ``PRECISIONS``.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: one of {', '.join(PRECISIONS)}")
    # What jax.config holds it makes when it is imported.
    before = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    with jax.default_matmul_precision("highest" if precision == "highest" else before):
        yield


def widened(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Half precisions as float32, others unchanged: for softmax, which sums exponentials over a whole axis."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
