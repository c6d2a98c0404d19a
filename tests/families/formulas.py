"""A second witness beside the library: the papers' formulas in plain NumPy, one row at a time, by canonical names.

Nothing is shared with ``reference``: no batch, no masks, no caches; a sum is written where the paper writes one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]
Linear = Callable[[str, np.ndarray], np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
    """x · Φ(x) (Hendrycks and Gimpel 2016, section 2)."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def norm(w: Weights, name: str, x: np.ndarray, epsilon: float) -> np.ndarray:
    """Ba et al. 2016, section 3."""
    rows = [(row - row.mean()) / math.sqrt(((row - row.mean()) ** 2).mean() + epsilon) for row in x]
    return np.array(rows) * w[f"{name}.weight"] + w[f"{name}.bias"]


def dense(w: Weights) -> Linear:
    """Weights as [out, in]."""
    return lambda name, x: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, causal: bool) -> np.ndarray:
    """Vaswani et al. 2017, section 3.2, a query and a head at a time."""
    size = q.shape[1] // heads
    found = np.zeros_like(q)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for place in range(len(q)):
            seen = place + 1 if causal else len(k)
            scores = np.array([q[place, part] @ k[other, part] / math.sqrt(size) for other in range(seen)])
            shares = np.exp(scores) / np.exp(scores).sum()
            found[place, part] = sum(share * v[other, part] for other, share in enumerate(shares))
    return found


def bert(
    w: Weights, prefix: str, ids: list[int], positions: list[int], sizes: tuple[int, int, float],
    memory: np.ndarray | None = None, causal: bool = False,
) -> np.ndarray:  # fmt: skip
    """Devlin et al. 2019, section 3 and figure 2; ``sizes``: layers, heads, epsilon."""
    layers, heads, epsilon = sizes
    linear, table = dense(w), f"{prefix}embeddings."
    x = np.array([w[f"{table}word_embeddings.weight"][token] for token in ids])
    x = x + np.array([w[f"{table}position_embeddings.weight"][place] for place in positions])
    if f"{table}token_type_embeddings.weight" in w:
        x = x + w[f"{table}token_type_embeddings.weight"][0]
    x = norm(w, f"{table}LayerNorm", x, epsilon)
    for index in range(layers):
        layer = f"{prefix}encoder.layer.{index}."
        for part, known in (("attention", x), ("crossattention", memory)):
            if known is None:
                continue
            q = linear(f"{layer}{part}.self.query", x)
            k, v = (
                linear(f"{layer}{part}.self.{name}", x if part == "attention" else known) for name in ("key", "value")
            )
            found = attention(q, k, v, heads, causal and part == "attention")
            x = norm(w, f"{layer}{part}.output.LayerNorm", x + linear(f"{layer}{part}.output.dense", found), epsilon)
        inner = linear(f"{layer}output.dense", gelu(linear(f"{layer}intermediate.dense", x)))
        x = norm(w, f"{layer}output.LayerNorm", x + inner, epsilon)
    return x


def gpt2(w: Weights, ids: list[int], layers: int, heads: int, memory: np.ndarray) -> np.ndarray:
    """Radford et al. 2019, section 2.3, with attention to an encoder between the two; logits."""
    width = w["transformer.wte.weight"].shape[1]

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]
    for index in range(layers):
        layer = f"transformer.h.{index}."
        fused = linear(f"{layer}attn.c_attn", norm(w, f"{layer}ln_1", x, 1e-5))
        q, k, v = (fused[:, part * width : (part + 1) * width] for part in range(3))
        x = x + linear(f"{layer}attn.c_proj", attention(q, k, v, heads, True))
        q = linear(f"{layer}crossattention.q_attn", norm(w, f"{layer}ln_cross_attn", x, 1e-5))
        both = linear(f"{layer}crossattention.c_attn", memory)
        found = attention(q, both[:, :width], both[:, width:], heads, False)
        x = x + linear(f"{layer}crossattention.c_proj", found)
        inner = gelu_tanh(linear(f"{layer}mlp.c_fc", norm(w, f"{layer}ln_2", x, 1e-5)))
        x = x + linear(f"{layer}mlp.c_proj", inner)
    return norm(w, "transformer.ln_f", x, 1e-5) @ w["transformer.wte.weight"].T


def bart_decoder(w: Weights, ids: list[int], heads: int, layers: int, memory: np.ndarray, pre: bool) -> np.ndarray:
    """Lewis et al. 2020, section 2.1; ``pre``: mBART's order (Liu et al. 2020, section 2.2). Logits of a tied head."""
    linear, stack = dense(w), "model.decoder."
    table = w[f"{stack}embed_tokens.weight"]
    x = table[ids] + w[f"{stack}embed_positions.weight"][2 : 2 + len(ids)]
    x = norm(w, f"{stack}layernorm_embedding", x, 1e-5)
    for index in range(layers):
        layer = f"{stack}layers.{index}."
        for part in ("self_attn", "encoder_attn"):
            given = norm(w, f"{layer}{part}_layer_norm", x, 1e-5) if pre else x
            known = given if part == "self_attn" else memory
            q, k, v = (linear(f"{layer}{part}.{n}_proj", given if n == "q" else known) for n in "qkv")
            x = x + linear(f"{layer}{part}.out_proj", attention(q, k, v, heads, part == "self_attn"))
            x = x if pre else norm(w, f"{layer}{part}_layer_norm", x, 1e-5)
        given = norm(w, f"{layer}final_layer_norm", x, 1e-5) if pre else x
        x = x + linear(f"{layer}fc2", gelu(linear(f"{layer}fc1", given)))
        x = x if pre else norm(w, f"{layer}final_layer_norm", x, 1e-5)
    x = norm(w, f"{stack}layer_norm", x, 1e-5) if pre else x
    return x @ table.T


def convolved(w: np.ndarray, bias: np.ndarray | None, x: np.ndarray, stride: int, groups: int = 1) -> np.ndarray:
    """One output frame and channel at a time; ``x`` is [time, channels], ``w`` [out, in / groups, kernel]."""
    made, given, kernel = w.shape
    found = np.zeros(((len(x) - kernel) // stride + 1, made))
    for time in range(len(found)):
        for channel in range(made):
            first = channel // (made // groups) * given
            window = x[time * stride : time * stride + kernel, first : first + given]
            found[time, channel] = (window * w[channel].T).sum() + (0 if bias is None else bias[channel])
    return found


def wav2vec2(
    w: Weights, audio: np.ndarray, strides: tuple[int, ...], heads: int, layers: int, groups: int
) -> np.ndarray:
    """Baevski et al. 2020, section 2 and appendix A: group norm in the first convolution, post-norm layers."""
    linear, x = dense(w), audio[:, None]
    for index, stride in enumerate(strides):
        name = f"feature_extractor.conv_layers.{index}"
        x = convolved(w[f"{name}.conv.weight"], None, x, stride)
        if index == 0:
            x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * w[f"{name}.layer_norm.weight"] + w[
                f"{name}.layer_norm.bias"
            ]
        x = gelu(x)
    x = linear("feature_projection.projection", norm(w, "feature_projection.layer_norm", x, 1e-5))
    place = "encoder.pos_conv_embed.conv"
    length, way = (w[f"{place}.parametrizations.weight.original{n}"] for n in range(2))
    kernel = np.stack(
        [length[0, 0, t] * way[:, :, t] / np.sqrt((way[:, :, t] ** 2).sum()) for t in range(way.shape[2])], 2
    )
    padding = way.shape[2] // 2
    around = np.pad(x, [(padding, padding), (0, 0)])
    x = x + gelu(convolved(kernel, w[f"{place}.bias"], around, 1, groups)[: len(x)])
    x = norm(w, "encoder.layer_norm", x, 1e-5)
    for index in range(layers):
        layer = f"encoder.layers.{index}."
        q, k, v = (linear(f"{layer}attention.{n}_proj", x) for n in "qkv")
        found = linear(f"{layer}attention.out_proj", attention(q, k, v, heads, False))
        x = norm(w, f"{layer}layer_norm", x + found, 1e-5)
        inner = linear(f"{layer}feed_forward.output_dense", gelu(linear(f"{layer}feed_forward.intermediate_dense", x)))
        x = norm(w, f"{layer}final_layer_norm", x + inner, 1e-5)
    return x
