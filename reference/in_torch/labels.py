# Peer reference: reference/in_flax/labels.py
"""Labels: the decoder inputs derived from them, and the loss."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference.config.tokens import Tokens, only
from reference.in_torch.precision import widened

IGNORED = -100
"""The label that the loss ignores (BART page, ``labels``)."""


def shift_right(
    tokens: Int[Tensor, "batch length"], pad: Tokens, decoder_start_token_id: Tokens
) -> Int[Tensor, "batch length"]:
    """The start token followed by all tokens but the last; ignored labels become padding.

    Source: BART page, ``decoder_input_ids``; encoder-decoder page, on training.

    Raises:
        ValueError: the config has no padding or no start token (None), or several.
    """
    without = "labels cannot be shifted"
    pad = only(pad, "pad_token_id", without)
    start = only(decoder_start_token_id, "decoder_start_token_id", without)
    first = torch.full_like(tokens[:, :1], start)
    shifted = torch.cat([first, tokens[:, :-1]], dim=1)
    return torch.where(shifted == IGNORED, pad, shifted)


def cross_entropy(
    logits: Float[Tensor, "*batch vocab"],
    labels: Int[Tensor, "*batch"],
    smoothing: float | Float[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """The mean of -log p(label) over all labels of the batch that are not ignored; NaN (0/0) if all are ignored.

    Computed in at least float32, returned in the dtype of ``logits``.

    Args:
        smoothing: the weight that is distributed uniformly over all tokens (Szegedy et al. 2016, section 7).
    """
    counted = labels != IGNORED
    # An ignored label is not a valid index: index 0 is used instead, and the result is masked out.
    index = torch.where(counted, labels, 0)
    log_probabilities = torch.log_softmax(widened(logits), dim=-1)
    chosen = torch.gather(log_probabilities, -1, index[..., None])[..., 0]
    if smoothing is not None:
        chosen = (1 - smoothing) * chosen + smoothing * log_probabilities.mean(dim=-1)
    total = torch.where(counted, chosen, 0.0).sum()
    return (-total / counted.sum()).to(logits.dtype)
