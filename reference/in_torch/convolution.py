# Peer reference: reference/in_flax/convolution.py
"""Convolutions over time, and their normalisations. Sequences are ``[batch, time, channels]``."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reference.in_torch.normalisation import EPSILON
from reference.in_torch.precision import widened


class Convolution(nn.Module):
    """A 1-D convolution with kernel size ``kernel`` and stride ``stride``."""

    def __init__(self, given: int, made: int, kernel: int, stride: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        bound = 1 / math.sqrt(given * kernel)
        self.weight = nn.Parameter(torch.empty(made, given, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(made)) if bias else None

    def forward(self, frames: Float[Tensor, "batch time given"]) -> Float[Tensor, "batch _ made"]:
        """Pads both ends with ``padding`` zeros."""
        bias = None if self.bias is None else self.bias
        return convolve(frames, self.weight, bias, self.stride, self.padding)


def convolve(
    frames: Float[Tensor, "batch time given"],
    weight: Float[Tensor, "made group kernel"],
    bias: Float[Tensor, " made"] | None,
    stride: int,
    padding: int,
) -> Float[Tensor, "batch _ made"]:
    """Grouped 1-D cross-correlation, with ``given / group`` groups of channels."""
    groups = frames.shape[2] // weight.shape[1]
    made = functional.conv1d(frames.transpose(1, 2), weight, bias, stride, padding, groups=groups)
    return made.transpose(1, 2)


class TimeNorm(nn.Module):
    """Normalises each channel to mean 0 and variance 1 over time.

    This is group normalisation with one channel per group (Wu and He 2018, arXiv:1803.08494).

    Padding is included: no mask is applied, as in wav2vec 2.0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, frames: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time channels"]:
        """Computed in at least float32, returned in the dtype of ``frames``."""
        centred = widened(frames) - widened(frames).mean(1, keepdim=True)
        normal = centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + EPSILON)
        return (normal * widened(self.weight) + widened(self.bias)).to(frames.dtype)


class StoredNorm(nn.Module):
    """Normalises each channel with the mean and variance stored in training (Ioffe and Szegedy 2015, algorithm 2)."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, frames: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time channels"]:
        """Computed in at least float32, returned in the dtype of ``frames``."""
        normal = (widened(frames) - widened(self.mean)) * torch.rsqrt(widened(self.variance) + EPSILON)
        return (normal * widened(self.weight) + widened(self.bias)).to(frames.dtype)


def frames_left(
    samples: Int[Tensor, " batch"], kernels: tuple[int, ...], strides: tuple[int, ...]
) -> Int[Tensor, " batch"]:
    """The number of frames that convolutions without padding compute from a number of samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples
