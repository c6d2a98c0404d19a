# Peer reference: reference/in_flax/attention.py
"""Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2).

In all shapes ``tgt`` is the number of queries and ``src`` the number of keys, for self- and cross-attention alike.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from reference.in_torch.cache import KeysValues
from reference.in_torch.precision import widened

Attend = Callable[..., tuple[Tensor, Tensor | None]]


def split_heads(hidden: Float[Tensor, "batch length d_model"], heads: int) -> Float[Tensor, "batch heads length _"]:
    """Splits the last axis into ``heads`` heads of size ``head_dim = d_model / heads``."""
    batch, length, d_model = hidden.shape
    return hidden.reshape(batch, length, heads, d_model // heads).transpose(1, 2)


def merge_heads(context: Float[Tensor, "batch heads length head_dim"]) -> Float[Tensor, "batch length _"]:
    """The inverse of ``split_heads``."""
    batch, heads, length, head_dim = context.shape
    return context.transpose(1, 2).reshape(batch, length, heads * head_dim)


def attend_eager(
    query: Float[Tensor, "batch heads tgt head_dim"],
    key: Float[Tensor, "batch heads src head_dim"],
    value: Float[Tensor, "batch heads src head_dim"],
    keep: Bool[Tensor, "batch #heads #tgt src"],
    head_mask: Float[Tensor, " heads"] | None,
) -> tuple[Float[Tensor, "batch heads tgt head_dim"], Float[Tensor, "batch heads tgt src"]]:
    """softmax(Q Kᵀ / √head_dim) V, step by step: returns the context and the attention weights.

    Weights are returned after the head mask is applied (as in transformers 4.57.6,
    models/bart/modeling_bart.py: eager_attention_forward).
    """
    scores = query @ key.mT * query.shape[-1] ** -0.5
    # Scores are replaced, not added to: in float16 the minimum plus a score can overflow to -inf, and softmax of a row
    # of -inf is NaN.
    scores = torch.where(keep, scores, torch.finfo(scores.dtype).min)
    weights = torch.softmax(widened(scores), dim=-1).to(value.dtype)
    if head_mask is not None:
        weights = weights * head_mask.to(value.dtype)[:, None, None]
    return weights @ value, weights


def attend_sdpa(
    query: Float[Tensor, "batch heads tgt head_dim"],
    key: Float[Tensor, "batch heads src head_dim"],
    value: Float[Tensor, "batch heads src head_dim"],
    keep: Bool[Tensor, "batch #heads #tgt src"],
    head_mask: Float[Tensor, " heads"] | None,
) -> tuple[Float[Tensor, "batch heads tgt head_dim"], None]:
    """The same context from the framework's fused kernel, which returns no weights."""
    # Fused kernels differ for a query whose keys are all masked (NaN, 0, …); here it attends equally to all keys.
    answerable = keep.any(dim=-1, keepdim=True)
    query = torch.where(answerable, query, torch.zeros_like(query))
    context = functional.scaled_dot_product_attention(query, key, value, attn_mask=keep | ~answerable)
    if head_mask is not None:
        # Scaling all weights of a head is equivalent to scaling its context.
        context = context * head_mask.to(value.dtype)[:, None, None]
    return context, None


ATTENTIONS: dict[str, Attend] = {"eager": attend_eager, "sdpa": attend_sdpa}


class Attention(nn.Module):
    """Self- or cross-attention with query, key, value and output projections, each with a bias."""

    def __init__(self, d_model: int, heads: int, attention: str) -> None:
        super().__init__()
        self.heads = heads
        self.attend = ATTENTIONS[attention]
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.q_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def keys_values(self, memory: Float[Tensor, "batch src d_model"]) -> KeysValues:
        """The projected keys and values of ``memory``, split into heads."""
        return KeysValues(split_heads(self.k_proj(memory), self.heads), split_heads(self.v_proj(memory), self.heads))

    def forward(
        self,
        hidden: Float[Tensor, "batch tgt d_model"],
        known: KeysValues,
        keep: Bool[Tensor, "batch 1 #tgt src"],
        head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[Float[Tensor, "batch tgt d_model"], Float[Tensor, "batch heads tgt src"] | None]:
        """The attention output of ``hidden`` over ``known``, and the attention weights (None for ``sdpa``)."""
        query = split_heads(self.q_proj(hidden), self.heads)
        context, weights = self.attend(query, known.key, known.value, keep, head_mask)
        return self.out_proj(merge_heads(context)), weights
