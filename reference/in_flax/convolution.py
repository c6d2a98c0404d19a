# Peer reference: reference/in_torch/convolution.py
"""Convolutions over time, and their normalisations. Sequences are ``[batch, time, channels]``."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

from reference.in_flax.model import Buffer
from reference.in_flax.normalisation import EPSILON
from reference.in_flax.precision import widened


class Convolution(nnx.Module):
    """A 1-D convolution with kernel size ``kernel`` and stride ``stride``."""

    def __init__(
        self, given: int, made: int, kernel: int, stride: int, padding: int, bias: bool, rngs: nnx.Rngs
    ) -> None:
        self.stride, self.padding = stride, padding
        bound = 1 / math.sqrt(given * kernel)
        self.weight = nnx.Param(jax.random.uniform(rngs.params(), (made, given, kernel), minval=-bound, maxval=bound))
        self.bias = nnx.Param(jnp.zeros(made)) if bias else None

    def __call__(self, frames: Float[Array, "batch time given"]) -> Float[Array, "batch _ made"]:
        """Pads both ends with ``padding`` zeros."""
        bias = None if self.bias is None else self.bias[...]
        return convolve(frames, self.weight[...], bias, self.stride, self.padding)


def convolve(
    frames: Float[Array, "batch time given"],
    weight: Float[Array, "made group kernel"],
    bias: Float[Array, " made"] | None,
    stride: int,
    padding: int,
) -> Float[Array, "batch _ made"]:
    """Grouped 1-D cross-correlation, with ``given / group`` groups of channels."""
    groups = frames.shape[2] // weight.shape[1]
    made = jax.lax.conv_general_dilated(
        frames,
        weight,
        (stride,),
        [(padding, padding)],
        dimension_numbers=("NHC", "OIH", "NHC"),
        feature_group_count=groups,
    )
    return made if bias is None else made + bias


class TimeNorm(nnx.Module):
    """Normalises each channel to mean 0 and variance 1 over time.

    This is group normalisation with one channel per group (Wu and He 2018, arXiv:1803.08494).

    Padding is included: no mask is applied, as in wav2vec 2.0.
    """

    def __init__(self, channels: int) -> None:
        self.weight = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, frames: Float[Array, "batch time channels"]) -> Float[Array, "batch time channels"]:
        """Computed in at least float32, returned in the dtype of ``frames``."""
        centred = widened(frames) - widened(frames).mean(1, keepdims=True)
        normal = centred * jax.lax.rsqrt(jnp.square(centred).mean(1, keepdims=True) + EPSILON)
        return (normal * widened(self.weight[...]) + widened(self.bias[...])).astype(frames.dtype)


class StoredNorm(nnx.Module):
    """Normalises each channel with the mean and variance stored in training (Ioffe and Szegedy 2015, algorithm 2)."""

    def __init__(self, channels: int) -> None:
        self.weight = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = Buffer(jnp.zeros(channels))
        self.variance = Buffer(jnp.ones(channels))

    def __call__(self, frames: Float[Array, "batch time channels"]) -> Float[Array, "batch time channels"]:
        """Computed in at least float32, returned in the dtype of ``frames``."""
        normal = (widened(frames) - widened(self.mean[...])) * jax.lax.rsqrt(widened(self.variance[...]) + EPSILON)
        return (normal * widened(self.weight[...]) + widened(self.bias[...])).astype(frames.dtype)


def frames_left(
    samples: Int[Array, " batch"], kernels: tuple[int, ...], strides: tuple[int, ...]
) -> Int[Array, " batch"]:
    """The number of frames that convolutions without padding compute from a number of samples."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples
