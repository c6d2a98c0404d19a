"""The papers' formulas for audio, in plain NumPy: one output frame, channel and row at a time (see ``formulas``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.architectures.formulas import Weights, attention, dense, gelu, norm


@dataclass(frozen=True)
class Speech:
    """What a checkpoint's config says of the order of things; which arrays there are is seen from the weights."""

    strides: tuple[int, ...]
    layers: int
    heads: int
    groups: int
    over_time: bool
    """Whether the first convolution's channels are normalised over time; else every convolution's over channels."""
    pre: bool
    adapter_stride: int = 2


def encoded(w: Weights, audio: np.ndarray, sizes: Speech) -> np.ndarray:
    """wav2vec 2.0 (Baevski et al. 2020, section 2 and appendix A), HuBERT (Hsu et al. 2021, section II-A): last states.

    ``pre``: the large models' order, normalised before each part of a layer and once behind the last.
    """
    x = projected(w, features(w, audio, sizes))
    x = x + positions(w, x, sizes.groups)
    x = x if sizes.pre else norm(w, "encoder.layer_norm", x, 1e-5)
    linear = dense(w)
    for index in range(sizes.layers):
        layer = f"encoder.layers.{index}."
        given = norm(w, f"{layer}layer_norm", x, 1e-5) if sizes.pre else x
        q, k, v = (linear(f"{layer}attention.{n}_proj", given) for n in "qkv")
        x = x + linear(f"{layer}attention.out_proj", attention(q, k, v, sizes.heads, False))
        x = x if sizes.pre else norm(w, f"{layer}layer_norm", x, 1e-5)
        given = norm(w, f"{layer}final_layer_norm", x, 1e-5) if sizes.pre else x
        inner = gelu(linear(f"{layer}feed_forward.intermediate_dense", given))
        x = x + linear(f"{layer}feed_forward.output_dense", inner)
        x = x if sizes.pre else norm(w, f"{layer}final_layer_norm", x, 1e-5)
    x = norm(w, "encoder.layer_norm", x, 1e-5) if sizes.pre else x
    return adapted(w, x, sizes.adapter_stride)


def convolved(w: np.ndarray, bias: np.ndarray | None, x: np.ndarray, stride: int, groups: int = 1) -> np.ndarray:
    """``x`` is [time, channels], ``w`` [out, in / groups, kernel]."""
    made, given, kernel = w.shape
    found = np.zeros(((len(x) - kernel) // stride + 1, made))
    for time in range(len(found)):
        for channel in range(made):
            first = channel // (made // groups) * given
            window = x[time * stride : time * stride + kernel, first : first + given]
            found[time, channel] = (window * w[channel].T).sum() + (0 if bias is None else bias[channel])
    return found


def features(w: Weights, audio: np.ndarray, sizes: Speech) -> np.ndarray:
    """Convolutions, normalised and through a gelu; over time: Wu and He 2018, equation 1, a group for each channel."""
    x = audio[:, None]
    for index, stride in enumerate(sizes.strides):
        name = f"feature_extractor.conv_layers.{index}"
        x = convolved(w[f"{name}.conv.weight"], w.get(f"{name}.conv.bias"), x, stride)
        if not sizes.over_time:
            x = norm(w, f"{name}.layer_norm", x, 1e-5)
        elif index == 0:
            normal = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
            x = normal * w[f"{name}.layer_norm.weight"] + w[f"{name}.layer_norm.bias"]
        x = gelu(x)
    return x


def projected(w: Weights, x: np.ndarray) -> np.ndarray:
    """To the width of the layers, normalised before where there is such a normalisation (HuBERT may have none)."""
    name = "feature_projection"
    x = norm(w, f"{name}.layer_norm", x, 1e-5) if f"{name}.layer_norm.weight" in w else x
    return dense(w)(f"{name}.projection", x)


def positions(w: Weights, x: np.ndarray, groups: int) -> np.ndarray:
    """A convolution as relative positions; its weight by Salimans and Kingma 2016, equation 2, a length for each tap,
    or as it is where what goes in is brought to stored means and variances (Ioffe and Szegedy 2015, algorithm 2)."""
    name = "encoder.pos_conv_embed"
    if f"{name}.batch_norm.weight" in w:
        scale, shift, mean, variance = (
            w[f"{name}.batch_norm.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        x, kernel = (x - mean) / np.sqrt(variance + 1e-5) * scale + shift, w[f"{name}.conv.weight"]
    else:
        length, way = (w[f"{name}.conv.parametrizations.weight.original{n}"] for n in range(2))
        taps = [length[0, 0, t] * way[:, :, t] / np.sqrt((way[:, :, t] ** 2).sum()) for t in range(way.shape[2])]
        kernel = np.stack(taps, 2)
    padding = kernel.shape[2] // 2
    around = np.pad(x, [(padding, padding), (0, 0)])
    return gelu(convolved(kernel, w[f"{name}.conv.bias"], around, 1, groups)[: len(x)])


def adapted(w: Weights, x: np.ndarray, stride: int) -> np.ndarray:
    """Where there is an adapter: to its width, then convolutions with a gate (Dauphin et al. 2017, equation 1)."""
    if "adapter.proj.weight" in w:
        x = norm(w, "adapter.proj_layer_norm", dense(w)("adapter.proj", x), 1e-5)
    index = 0
    while (name := f"adapter.layers.{index}.conv") + ".weight" in w:
        both = convolved(w[f"{name}.weight"], w[f"{name}.bias"], np.pad(x, [(1, 1), (0, 0)]), stride)
        width = both.shape[1] // 2
        x = both[:, :width] / (1 + np.exp(-both[:, width:]))
        index += 1
    return x
