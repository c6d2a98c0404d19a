"""The documented losses, computed from the output of a Flax class: no Flax class accepts labels or computes a loss.

Implemented in JAX to compute gradients with respect to the parameters of the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.core.case import IGNORED

LABELS = ("labels", "start_positions", "end_positions")
"""Inputs of the documented call that are used only for the loss."""


def documented_loss(output: Mapping[str, Any], labels: Mapping[str, Any], config: Any) -> Any:
    """The loss that the documented class would return with these logits, a scalar in float32.

    Args:
        output: with ``logits`` ``[batch, tgt, vocab]`` or ``[batch, classes]``; for question answering, with
            ``start_logits`` and ``end_logits`` ``[batch, tgt]``.
        labels: those of ``LABELS`` that the class documents.
        config: the config of the model, whose ``problem_type`` defines the type of a classifier's labels.
    """
    if "start_positions" in labels:
        ends = ((output["start_logits"], labels["start_positions"]), (output["end_logits"], labels["end_positions"]))
        return sum(_position_loss(logits, positions) for logits, positions in ends) / 2
    logits, wanted = output["logits"], labels["labels"]
    return _classification_loss(logits, wanted, config) if logits.ndim == 2 else _cross_entropy(logits, wanted)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean over the labels that are not -100; NaN if all are, as in PyTorch."""
    import jax
    import jax.numpy as jnp

    counted = labels != IGNORED
    scores = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(scores, jnp.where(counted, labels, 0)[..., None], axis=-1)[..., 0]
    return -jnp.where(counted, chosen, 0.0).sum() / counted.sum()


def _position_loss(logits: Any, positions: Any) -> Any:
    """Cross-entropy over the rows whose position is within the text (BART page, ``start_positions``)."""
    import jax.numpy as jnp

    inside = (positions >= 0) & (positions < logits.shape[1])
    return _cross_entropy(logits, jnp.where(inside, positions, IGNORED))


def _classification_loss(logits: Any, labels: Any, config: Any) -> Any:
    """The loss for ``problem_type``, inferred from the labels if it is None (configuration page, ``problem_type``)."""
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
