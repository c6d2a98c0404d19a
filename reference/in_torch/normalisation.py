# Peer reference: reference/in_flax/normalisation.py
"""Layer normalisation (Ba et al. 2016, arXiv:1607.06450, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference.in_torch.precision import widened

EPSILON = 1e-5
"""Added to the variance inside the square root, for configs without such a field (BART)."""


class LayerNorm(nn.Module):
    """Normalises the last axis to mean 0 and variance 1 (population variance), then scales and shifts."""

    def __init__(self, d_model: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, hidden: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Computed in at least float32, returned in the dtype of ``hidden``."""
        centred = widened(hidden) - mean(widened(hidden))
        normal = centred * torch.rsqrt(mean(centred.square()) + self.epsilon)
        return (normal * widened(self.weight) + widened(self.bias)).to(hidden.dtype)


def mean(values: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch 1"]:
    """The mean over the last axis, which is retained with size 1."""
    return values.mean(dim=-1, keepdim=True)
