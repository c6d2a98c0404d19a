# Peer reference: reference/in_torch/labels.py
"""Labels: the decoder inputs derived from them, and the loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from reference.config.tokens import Tokens, only
from reference.in_flax.precision import widened

IGNORED = -100
"""The label that the loss ignores (BART page, ``labels``)."""


def shift_right(
    tokens: Int[Array, "batch length"], pad: Tokens, decoder_start_token_id: Tokens
) -> Int[Array, "batch length"]:
    """The start token followed by all tokens but the last; ignored labels become padding.

    Source: BART page, ``decoder_input_ids``; encoder-decoder page, on training.

    Raises:
        ValueError: the config has no padding or no start token (None), or several.
    """
    without = "labels cannot be shifted"
    pad = only(pad, "pad_token_id", without)
    start = only(decoder_start_token_id, "decoder_start_token_id", without)
    first = jnp.full_like(tokens[:, :1], start)
    shifted = jnp.concatenate([first, tokens[:, :-1]], axis=1)
    return jnp.where(shifted == IGNORED, pad, shifted)


def cross_entropy(
    logits: Float[Array, "*batch vocab"],
    labels: Int[Array, "*batch"],
    smoothing: float | Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """The mean of -log p(label) over all labels of the batch that are not ignored; NaN (0/0) if all are ignored.

    Computed in at least float32, returned in the dtype of ``logits``.

    Args:
        smoothing: the weight that is distributed uniformly over all tokens (Szegedy et al. 2016, section 7).
    """
    counted = labels != IGNORED
    # An ignored label is not a valid index: index 0 is used instead, and the result is masked out.
    index = jnp.where(counted, labels, 0)
    log_probabilities = jax.nn.log_softmax(widened(logits), axis=-1)
    chosen = jnp.take_along_axis(log_probabilities, index[..., None], axis=-1)[..., 0]
    if smoothing is not None:
        chosen = (1 - smoothing) * chosen + smoothing * log_probabilities.mean(axis=-1)
    total = jnp.where(counted, chosen, 0.0).sum()
    return (-total / counted.sum()).astype(logits.dtype)
