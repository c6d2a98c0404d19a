# Peer reference: reference/in_torch/activations.py
"""The documented activations (BART page, ``activation_function``), with their formulas."""

from __future__ import annotations

from collections.abc import Callable

from jax import Array, nn
from jaxtyping import Float

Activation = Callable[[Array], Array]


def gelu(hidden: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x · Φ(x), Φ by the error function (Hendrycks and Gimpel 2016, section 2)."""
    return nn.gelu(hidden, approximate=False)


def gelu_new(hidden: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x · Φ(x), Φ approximated by 0.5 (1 + tanh(√(2/π) (x + 0.044715 x³))) (ibid., section 2)."""
    return nn.gelu(hidden, approximate=True)


def relu(hidden: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(x, 0)."""
    return nn.relu(hidden)


def silu(hidden: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x · sigmoid(x) (Elfwing et al. 2017)."""
    return nn.silu(hidden)


ACTIVATIONS: dict[str, Activation] = {"gelu": gelu, "gelu_new": gelu_new, "relu": relu, "silu": silu}
