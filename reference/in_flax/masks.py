# Peer reference: reference/in_torch/masks.py
"""Who may look at whom: boolean masks, True where a query may attend to a key.

Each broadcasts to ``[batch, heads, queries, keys]``. A query that may attend to no key at all has no answer in the
paper; here it attends to all keys alike (weights 1/keys, which is what adding a very large negative number to every
score comes to), its scores get no gradient, and no other query is touched.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Int


def padding_mask(attention_mask: Int[Array, "batch keys"]) -> Bool[Array, "batch 1 1 keys"]:
    """The keys that are no padding, for every head and query.

    Args:
        attention_mask: 1 keeps a key, 0 hides it (BART page, ``attention_mask``).
    """
    return (attention_mask != 0)[:, None, None, :]


def causal_mask(
    decoder_attention_mask: Int[Array, "batch keys"], position_offset: int | Int[Array, ""], queries: int
) -> Bool[Array, "batch 1 queries keys"]:
    """The keys that are no padding and do not come after the query (Vaswani et al. 2017, section 3.2.3).

    Args:
        position_offset: position of the first query; the keys begin at position 0.
        queries: how many there are.
    """
    length = decoder_attention_mask.shape[1]
    position = jnp.arange(length)
    asking = position_offset + jnp.arange(queries)
    not_later = position[None, :] <= asking[:, None]
    return padding_mask(decoder_attention_mask) & not_later
