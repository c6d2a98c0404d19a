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


def inside(w: Weights, prefix: str) -> dict[str, np.ndarray]:
    """A part's weights by the names they have in it."""
    return {name.removeprefix(prefix): array for name, array in w.items() if name.startswith(prefix)}


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
    w: Weights,
    prefix: str,
    ids: list[int],
    positions: list[int],
    sizes: tuple[int, int, float],
    memory: np.ndarray | None = None,
    causal: bool = False,
) -> np.ndarray:
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


def bert_logits(
    w: Weights, head: tuple[str, str, str], states: np.ndarray, table: np.ndarray, epsilon: float
) -> np.ndarray:
    """Devlin et al. 2019, section 3.1; the map before it as published (google-research/bert, run_pretraining.py).

    ``head``: what that map, its normalisation and the bias of the words are called.
    """
    first, second, bias = head
    return norm(w, second, gelu(dense(w)(first, states)), epsilon) @ table.T + w[f"{bias}.bias"]


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


def bart_stack(
    w: Weights,
    stack: str,
    embedded: np.ndarray,
    layers: int,
    heads: int,
    pre: bool = False,
    memory: np.ndarray | None = None,
) -> np.ndarray:
    """Lewis et al. 2020, section 2.1, one half from embedded tokens on; ``pre``: mBART's order (Liu et al. 2020, 2.2).

    With ``memory`` it is the decoder: it looks at no later position, and at the encoder.
    """
    linear, decodes = dense(w), memory is not None
    x = embedded + w[f"{stack}embed_positions.weight"][2 : 2 + len(embedded)]
    x = norm(w, f"{stack}layernorm_embedding", x, 1e-5)
    for index in range(layers):
        layer = f"{stack}layers.{index}."
        for part in ("self_attn", "encoder_attn") if decodes else ("self_attn",):
            given = norm(w, f"{layer}{part}_layer_norm", x, 1e-5) if pre else x
            known = given if part == "self_attn" else memory
            q, k, v = (linear(f"{layer}{part}.{n}_proj", given if n == "q" else known) for n in "qkv")
            found = attention(q, k, v, heads, decodes and part == "self_attn")
            x = x + linear(f"{layer}{part}.out_proj", found)
            x = x if pre else norm(w, f"{layer}{part}_layer_norm", x, 1e-5)
        given = norm(w, f"{layer}final_layer_norm", x, 1e-5) if pre else x
        x = x + linear(f"{layer}fc2", gelu(linear(f"{layer}fc1", given)))
        x = x if pre else norm(w, f"{layer}final_layer_norm", x, 1e-5)
    return norm(w, f"{stack}layer_norm", x, 1e-5) if pre else x


def bart_decoder(w: Weights, ids: list[int], heads: int, layers: int, memory: np.ndarray, pre: bool) -> np.ndarray:
    """A decoder that stands alone, and the logits of its tied head."""
    table = w["model.decoder.embed_tokens.weight"]
    return bart_stack(w, "model.decoder.", table[ids], layers, heads, pre, memory) @ table.T


def bart(
    w: Weights, source: list[int], target: list[int], layers: tuple[int, int], heads: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The last states of both halves, sizes of the encoder first; embeddings scaled (Vaswani et al. 2017, 3.4)."""
    table = w["model.shared.weight"] * math.sqrt(w["model.shared.weight"].shape[1])
    memory = bart_stack(w, "model.encoder.", table[source], layers[0], heads[0])
    return memory, bart_stack(w, "model.decoder.", table[target], layers[1], heads[1], memory=memory)
