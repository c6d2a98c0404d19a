"""The losses that the documents define, of what a Flax class returned: no Flax class takes labels or computes a loss.

Written down in JAX so that gradients by the class's own parameters can be taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.core.case import IGNORED

LABELS = ("labels", "start_positions", "end_positions")
"""Inputs of the documented call that only a loss is computed from."""


def documented_loss(output: Mapping[str, Any], labels: Mapping[str, Any], config: Any) -> Any:
    """The loss that the documented class would return beside these logits, a scalar in float32.

    Args:
        output: with ``logits`` ``[batch, tgt, vocab]`` or ``[batch, classes]``; with ``start_logits`` and
            ``end_logits`` ``[batch, tgt]`` where an answer's ends are sought.
        labels: those of ``LABELS`` that the class documents.
        config: the model's, whose ``problem_type`` says what a classifier's labels are.
    """
    if "start_positions" in labels:
        ends = ((output["start_logits"], labels["start_positions"]), (output["end_logits"], labels["end_positions"]))
        return sum(_position_loss(logits, positions) for logits, positions in ends) / 2
    logits, wanted = output["logits"], labels["labels"]
    return _classification_loss(logits, wanted, config) if logits.ndim == 2 else _cross_entropy(logits, wanted)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean over the labels that are not -100; NaN where all are, as PyTorch's."""
    import jax
    import jax.numpy as jnp

    kept = labels != IGNORED
    scores = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(scores, jnp.where(kept, labels, 0)[..., None], axis=-1)[..., 0]
    return -jnp.where(kept, chosen, 0.0).sum() / kept.sum()


def _position_loss(logits: Any, positions: Any) -> Any:
    """Over the rows whose position lies within the text (BART page, ``start_positions``)."""
    import jax.numpy as jnp

    inside = (positions >= 0) & (positions < logits.shape[1])
    return _cross_entropy(logits, jnp.where(inside, positions, IGNORED))


def _classification_loss(logits: Any, labels: Any, config: Any) -> Any:
    """By ``problem_type``, or by the labels where it is None (configuration page, ``problem_type``)."""
    import jax
    import jax.numpy as jnp

    whole = jnp.issubdtype(labels.dtype, jnp.integer)
    kind = config.problem_type or ("regression" if logits.shape[1] == 1 else "single" if whole else "multi")
    if kind.startswith("single"):
        return _cross_entropy(logits, labels.reshape(-1))
    logits, labels = logits.astype(jnp.float32), labels.reshape(logits.shape).astype(jnp.float32)
    if kind == "regression":
        return jnp.square(logits - labels).mean()
    return -(labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits)).mean()
