# Peer reference: reference/in_flax/activations.py
"""The documented activations (BART page, ``activation_function``), with their formulas."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


def gelu(hidden: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x · Φ(x), Φ by the error function (Hendrycks and Gimpel 2016, section 2)."""
    return functional.gelu(hidden, approximate="none")


def gelu_new(hidden: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x · Φ(x), Φ approximated by 0.5 (1 + tanh(√(2/π) (x + 0.044715 x³))) (ibid., section 2)."""
    return functional.gelu(hidden, approximate="tanh")


def relu(hidden: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(x, 0)."""
    return functional.relu(hidden)


def silu(hidden: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x · sigmoid(x) (Elfwing et al. 2017)."""
    return functional.silu(hidden)


ACTIVATIONS: dict[str, Activation] = {"gelu": gelu, "gelu_new": gelu_new, "relu": relu, "silu": silu}
