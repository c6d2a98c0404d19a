# Peer reference: reference/in_flax/convolution.py
"""Convolutions over time, and the normalisations that stand beside them. Sequences are ``[batch, time, channels]``."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reference.in_torch.normalisation import EPSILON
from reference.in_torch.precision import widened


class Convolution(nn.Module):
    """A sum of ``kernel`` neighbouring frames' linear maps, every ``stride`` frames."""

    def __init__(self, given: int, made: int, kernel: int, stride: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        bound = 1 / math.sqrt(given * kernel)
        self.weight = nn.Parameter(torch.empty(made, given, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(made)) if bias else None

    def forward(self, frames: Float[Tensor, "batch time given"]) -> Float[Tensor, "batch _ made"]:
        """Frames at both ends are ``padding`` zeros."""
        bias = None if self.bias is None else self.bias
        return convolve(frames, self.weight, bias, self.stride, self.padding)


def convolve(
    frames: Float[Tensor, "batch time given"],
    weight: Float[Tensor, "made group kernel"],
    bias: Float[Tensor, " made"] | None,
    stride: int,
    padding: int,
) -> Float[Tensor, "batch _ made"]:
    """The cross-correlation that networks call a convolution; ``given / group`` groups of channels by themselves."""
    groups = frames.shape[2] // weight.shape[1]
    made = functional.conv1d(frames.transpose(1, 2), weight, bias, stride, padding, groups=groups)
    return made.transpose(1, 2)


class TimeNorm(nn.Module):
    """Brings each channel to mean 0 and variance 1 over time (Wu and He 2018, arXiv:1803.08494, a group a channel).

    Padding counts as time: no mask is applied, as in wav2vec 2.0.
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
    """Brings each channel to the mean 0 and variance 1 it had in training (Ioffe and Szegedy 2015, algorithm 2)."""

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
    """How many frames convolutions without padding make of so many samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples
