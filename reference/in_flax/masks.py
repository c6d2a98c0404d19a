# Peer reference: reference/in_torch/masks.py
"""Attention masks: boolean, True if a query may attend to a key.

Masks broadcast to ``[batch, heads, queries, keys]``. The paper does not define the result of a query whose keys are
all masked. Here it attends to all keys equally (weights 1/keys, the limit of adding a large negative number to every
score), its scores have gradient zero, and other queries are not affected.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int


def padding_mask(attention_mask: Int[Array, "batch keys"]) -> Bool[Array, "batch 1 1 keys"]:
    """The mask of non-padding keys, for all heads and queries.

    Args:
        attention_mask: 1 for tokens, 0 for padding (BART page, ``attention_mask``).
    """
    return (attention_mask != 0)[:, None, None, :]


def causal_mask(
    decoder_attention_mask: Int[Array, "batch keys"], position_offset: int | Int[Array, ""], queries: int
) -> Bool[Array, "batch 1 queries keys"]:
    """The mask of non-padding keys that are not after the query (Vaswani et al. 2017, section 3.2.3).

    Args:
        position_offset: the position of the first query; keys start at position 0.
        queries: the number of queries.
    """
    length = decoder_attention_mask.shape[1]
    position = jnp.arange(length)
    query_position = position_offset + jnp.arange(queries)
    not_later = position[None, :] <= query_position[:, None]
    return padding_mask(decoder_attention_mask) & not_later
