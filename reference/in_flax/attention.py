# Peer reference: reference/in_torch/attention.py
"""Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2).

In all shapes ``tgt`` is the number of queries and ``src`` the number of keys, for self- and cross-attention alike.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float

from reference.in_flax.cache import KeysValues
from reference.in_flax.precision import widened

Attend = Callable[..., tuple[Array, Array | None]]


def split_heads(hidden: Float[Array, "batch length d_model"], heads: int) -> Float[Array, "batch heads length _"]:
    """Splits the last axis into ``heads`` heads of size ``head_dim = d_model / heads``."""
    batch, length, d_model = hidden.shape
    return hidden.reshape(batch, length, heads, d_model // heads).swapaxes(1, 2)


def merge_heads(context: Float[Array, "batch heads length head_dim"]) -> Float[Array, "batch length _"]:
    """The inverse of ``split_heads``."""
    batch, heads, length, head_dim = context.shape
    return context.swapaxes(1, 2).reshape(batch, length, heads * head_dim)


def attend_eager(
    query: Float[Array, "batch heads tgt head_dim"],
    key: Float[Array, "batch heads src head_dim"],
    value: Float[Array, "batch heads src head_dim"],
    keep: Bool[Array, "batch #heads #tgt src"],
    head_mask: Float[Array, " heads"] | None,
) -> tuple[Float[Array, "batch heads tgt head_dim"], Float[Array, "batch heads tgt src"]]:
    """softmax(Q Kᵀ / √head_dim) V, step by step: returns the context and the attention weights.

    Weights are returned after the head mask is applied (as in transformers 4.57.6,
    models/bart/modeling_bart.py: eager_attention_forward).
    """
    scores = query @ key.mT * query.shape[-1] ** -0.5
    # Scores are replaced, not added to: in float16 the minimum plus a score can overflow to -inf, and softmax of a row
    # of -inf is NaN.
    scores = jnp.where(keep, scores, jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(widened(scores), axis=-1).astype(value.dtype)
    if head_mask is not None:
        weights = weights * head_mask.astype(value.dtype)[:, None, None]
    return weights @ value, weights


def attend_sdpa(
    query: Float[Array, "batch heads tgt head_dim"],
    key: Float[Array, "batch heads src head_dim"],
    value: Float[Array, "batch heads src head_dim"],
    keep: Bool[Array, "batch #heads #tgt src"],
    head_mask: Float[Array, " heads"] | None,
) -> tuple[Float[Array, "batch heads tgt head_dim"], None]:
    """The same context from the framework's fused kernel, which returns no weights.

    Raises:
        ValueError: in float64, because that kernel computes softmax in float32 (jax 0.10.2, jax/_src/nn/functions.py).
    """
    if query.dtype == jnp.float64:
        raise ValueError("attention 'sdpa' in float64: jax.nn.dot_product_attention computes its softmax in float32")
    # Fused kernels differ for a query whose keys are all masked (NaN, 0, …); here it attends equally to all keys.
    answerable = keep.any(axis=-1, keepdims=True)
    query = jnp.where(answerable, query, jnp.zeros_like(query))
    by_position = (array.swapaxes(1, 2) for array in (query, key, value))
    context = jax.nn.dot_product_attention(*by_position, mask=keep | ~answerable).swapaxes(1, 2)
    if head_mask is not None:
        # Scaling all weights of a head is equivalent to scaling its context.
        context = context * head_mask.astype(value.dtype)[:, None, None]
    return context, None


ATTENTIONS: dict[str, Attend] = {"eager": attend_eager, "sdpa": attend_sdpa}


class Attention(nnx.Module):
    """Self- or cross-attention with query, key, value and output projections, each with a bias."""

    def __init__(self, d_model: int, heads: int, attention: str, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.attend = ATTENTIONS[attention]
        self.k_proj = nnx.Linear(d_model, d_model, rngs=rngs)
        self.v_proj = nnx.Linear(d_model, d_model, rngs=rngs)
        self.q_proj = nnx.Linear(d_model, d_model, rngs=rngs)
        self.out_proj = nnx.Linear(d_model, d_model, rngs=rngs)

    def keys_values(self, memory: Float[Array, "batch src d_model"]) -> KeysValues:
        """The projected keys and values of ``memory``, split into heads."""
        return KeysValues(split_heads(self.k_proj(memory), self.heads), split_heads(self.v_proj(memory), self.heads))

    def __call__(
        self,
        hidden: Float[Array, "batch tgt d_model"],
        known: KeysValues,
        keep: Bool[Array, "batch 1 #tgt src"],
        head_mask: Float[Array, " heads"] | None,
    ) -> tuple[Float[Array, "batch tgt d_model"], Float[Array, "batch heads tgt src"] | None]:
        """The attention output of ``hidden`` over ``known``, and the attention weights (None for ``sdpa``)."""
        query = split_heads(self.q_proj(hidden), self.heads)
        context, weights = self.attend(query, known.key, known.value, keep, head_mask)
        return self.out_proj(merge_heads(context)), weights
