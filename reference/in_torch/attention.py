# Peer reference: reference/in_flax/attention.py
"""Scaled dot-product attention with several heads (Vaswani et al. 2017, section 3.2).

In every signature here ``tgt`` counts the queries and ``src`` the keys, whichever sequence they come from.
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
    """Cuts the last axis into ``heads`` pieces of ``head_dim = d_model / heads``."""
    batch, length, d_model = hidden.shape
    return hidden.reshape(batch, length, heads, d_model // heads).transpose(1, 2)


def merge_heads(context: Float[Tensor, "batch heads length head_dim"]) -> Float[Tensor, "batch length _"]:
    """Undoes ``split_heads``."""
    batch, heads, length, head_dim = context.shape
    return context.transpose(1, 2).reshape(batch, length, heads * head_dim)


def attend_eager(
    query: Float[Tensor, "batch heads tgt head_dim"],
    key: Float[Tensor, "batch heads src head_dim"],
    value: Float[Tensor, "batch heads src head_dim"],
    keep: Bool[Tensor, "batch #heads #tgt src"],
    head_mask: Float[Tensor, " heads"] | None,
) -> tuple[Float[Tensor, "batch heads tgt head_dim"], Float[Tensor, "batch heads tgt src"]]:
    """softmax(Q Kᵀ / √head_dim) V, step by step: the context and the weights that made it.

    Weights are returned as they were used, after the head mask (as in transformers 4.57.6,
    models/bart/modeling_bart.py: eager_attention_forward).
    """
    scores = query @ key.mT * query.shape[-1] ** -0.5
    # Replaced, not added to: in float16 the lowest number plus a score can overflow to -inf, and a row of those is NaN.
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
    """The same context by the framework's fused kernel, which gives no weights."""
    # Fused kernels disagree on a query with no key left (NaN, 0, …): equal scores over all keys are our definition.
    answerable = keep.any(dim=-1, keepdim=True)
    query = torch.where(answerable, query, torch.zeros_like(query))
    context = functional.scaled_dot_product_attention(query, key, value, attn_mask=keep | ~answerable)
    if head_mask is not None:
        # One factor on all weights of a head is the same factor on its context.
        context = context * head_mask.to(value.dtype)[:, None, None]
    return context, None


ATTENTIONS: dict[str, Attend] = {"eager": attend_eager, "sdpa": attend_sdpa}


class Attention(nn.Module):
    """Queries from one sequence, keys and values from another or the same; four projections with biases."""

    def __init__(self, d_model: int, heads: int, attention: str) -> None:
        super().__init__()
        self.heads = heads
        self.attend = ATTENTIONS[attention]
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.q_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def keys_values(self, memory: Float[Tensor, "batch src d_model"]) -> KeysValues:
        """What there is to be found in ``memory``."""
        return KeysValues(split_heads(self.k_proj(memory), self.heads), split_heads(self.v_proj(memory), self.heads))

    def forward(
        self,
        hidden: Float[Tensor, "batch tgt d_model"],
        known: KeysValues,
        keep: Bool[Tensor, "batch 1 #tgt src"],
        head_mask: Float[Tensor, " heads"] | None,
    ) -> tuple[Float[Tensor, "batch tgt d_model"], Float[Tensor, "batch heads tgt src"] | None]:
        """What ``hidden`` finds among ``known`` (its own, in self-attention), and the weights if there are any."""
        query = split_heads(self.q_proj(hidden), self.heads)
        context, weights = self.attend(query, known.key, known.value, keep, head_mask)
        return self.out_proj(merge_heads(context)), weights
