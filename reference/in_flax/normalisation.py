# Peer reference: reference/in_torch/normalisation.py
"""Layer normalisation (Ba et al. 2016, arXiv:1607.06450, section 3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float

from reference.in_flax.precision import widened

EPSILON = 1e-5
"""Added to the variance inside the square root, for configs without such a field (BART)."""


class LayerNorm(nnx.Module):
    """Normalises the last axis to mean 0 and variance 1 (population variance), then scales and shifts."""

    def __init__(self, d_model: int, epsilon: float, rngs: nnx.Rngs) -> None:
        self.epsilon = epsilon
        self.scale = nnx.Param(nnx.initializers.ones(rngs.params(), (d_model,)))
        self.bias = nnx.Param(nnx.initializers.zeros(rngs.params(), (d_model,)))

    def __call__(self, hidden: Float[Array, "*batch d_model"]) -> Float[Array, "*batch d_model"]:
        """Computed in at least float32, returned in the dtype of ``hidden``."""
        centred = widened(hidden) - mean(widened(hidden))
        normal = centred * jax.lax.rsqrt(mean(jnp.square(centred)) + self.epsilon)
        return (normal * widened(self.scale[...]) + widened(self.bias[...])).astype(hidden.dtype)


def mean(values: Float[Array, "*batch d_model"]) -> Float[Array, "*batch 1"]:
    """The mean over the last axis, which is retained with size 1.

    Computed as a matrix product with 1/d_model, because XLA duplicates a reduction in every kernel that uses it,
    through all residual sums: with jax 0.10.2, compiling the gradients of 4 + 4 layers takes 6 s instead of 23 s.
    """
    d_model = values.shape[-1]
    shares = jnp.full((d_model, 1), 1 / d_model, values.dtype)
    # Always at the highest precision, because TF32 is not accurate enough for a mean.
    return jnp.matmul(values, shares, precision=jax.lax.Precision.HIGHEST)
