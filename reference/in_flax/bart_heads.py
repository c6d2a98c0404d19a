# Peer reference: reference/in_torch/bart_heads.py
# Each class has its own documented call signature.
# pyright: reportIncompatibleMethodOverride=false
"""BART without a head, with a classification head, and with a question-answering head (BART page; Lewis et al. 2020,
section 3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.core import Tracer
from jaxtyping import Float, Int

from reference.config import BartConfig
from reference.config.tokens import only
from reference.in_flax.bart import BareBart
from reference.in_flax.labels import IGNORED, cross_entropy
from reference.in_flax.outputs import AnsweringOutput, BareOutput, ClassificationOutput
from reference.in_flax.precision import matmul_precision


class BartModel(BareBart):
    """The bare model."""

    def __call__(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_input_ids: Int[Array, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Array, "batch tgt"] | None = None,
        head_mask: Float[Array, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
    ) -> BareOutput:
        """The documented call; without ``decoder_input_ids`` the decoder input is the source shifted right.

        Raises:
            ValueError: a sequence is longer than the position table, or a head mask has the wrong number of layers.
        """
        masks = (head_mask, decoder_head_mask, cross_attn_head_mask)
        found = super().__call__(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, *masks)
        return BareOutput(
            found.logits,
            found.decoder_hidden_states,
            found.decoder_attentions,
            found.cross_attentions,
            found.encoder_last_hidden_state,
            found.encoder_hidden_states,
            found.encoder_attentions,
        )


class ClassificationHead(nnx.Module):
    """Two linear layers with a tanh between them (transformers 4.57.6, modeling_bart.py, BartClassificationHead)."""

    def __init__(self, d_model: int, labels: int, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(d_model, d_model, rngs=rngs)
        self.out_proj = nnx.Linear(d_model, labels, rngs=rngs)

    def __call__(self, hidden: Float[Array, "batch d_model"]) -> Float[Array, "batch labels"]:
        """One logit per label."""
        return self.out_proj(jnp.tanh(self.dense(hidden)))


class BartForSequenceClassification(BartModel):
    """Classifies a text from the decoder state at its last end token (Lewis et al. 2020, 3.1)."""

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, attention, precision, rngs=rngs)
        self.classification_head = ClassificationHead(config.d_model, config.num_labels, rngs)

    def __call__(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        labels: Int[Array, " batch"] | Float[Array, "batch ..."] | None = None,
        **others: Array | None,
    ) -> ClassificationOutput:
        """The documented call; other arguments and errors as in ``BartModel``.

        Args:
            labels: depending on ``config.problem_type``, a class for each text, a number for each text and label
                (regression), or a 0 or 1 for each (multi-label). If it is None, the type is inferred from the labels.

        Raises:
            ValueError: rows have different numbers of end tokens, or none.
        """
        states = super().__call__(input_ids, attention_mask, **others)
        last = last_ends(input_ids, only(self.config.eos_token_id, "eos_token_id", "no end token to classify by"))
        with matmul_precision(self.precision):
            rows = jnp.arange(len(last))
            logits = self.classification_head(states.last_hidden_state[rows, last])
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return ClassificationOutput(loss, logits, states)


class BartForQuestionAnswering(BartModel):
    """Extractive question answering: scores for each position as the start and as the end of the answer."""

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, attention, precision, rngs=rngs)
        self.qa_outputs = nnx.Linear(config.d_model, 2, rngs=rngs)

    def __call__(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        start_positions: Int[Array, " batch"] | None = None,
        end_positions: Int[Array, " batch"] | None = None,
        **others: Array | None,
    ) -> AnsweringOutput:
        """The documented call; other arguments and errors as in ``BartModel``.

        Label positions outside the text are ignored by the loss.
        """
        states = super().__call__(input_ids, attention_mask, **others)
        with matmul_precision(self.precision):
            logits = self.qa_outputs(states.last_hidden_state)
        first, final, loss = logits[:, :, 0], logits[:, :, 1], None
        if start_positions is not None and end_positions is not None:
            loss = (position_loss(first, start_positions) + position_loss(final, end_positions)) / 2
        return AnsweringOutput(loss, first, final, states)


def last_ends(input_ids: Int[Array, "batch src"], eos: int) -> Int[Array, " batch"]:
    """The position of each row's last end token.

    Raises:
        ValueError: rows have different numbers of end tokens, or none.
    """
    ends = input_ids == eos
    check_ends(ends.sum(1))
    return (ends * jnp.arange(1, ends.shape[1] + 1)).argmax(1)


def check_ends(counts: Int[Array, " batch"]) -> None:
    """Raises ValueError unless all rows have the same number of end tokens, at least one."""
    if isinstance(counts, Tracer):
        return  # Compiled code cannot raise, because the tokens are traced.
    found = sorted({int(count) for count in counts})
    if len(found) > 1 or not found[0]:
        raise ValueError(f"all texts must have the same number of end tokens, at least one; found {found}")


def classification_loss(
    logits: Float[Array, "batch labels"], labels: Array, problem_type: str | None
) -> Float[Array, ""]:
    """Mean squared error, cross-entropy, or per-label binary cross-entropy (BART page, ``labels``)."""
    if problem_type is None:
        several = (
            "multi_label_classification"
            if jnp.issubdtype(labels.dtype, jnp.floating)
            else "single_label_classification"
        )
        problem_type = "regression" if logits.shape[1] == 1 else several
    if problem_type == "single_label_classification":
        return cross_entropy(logits, labels.reshape(-1))
    labels = labels.reshape(logits.shape).astype(logits.dtype)
    if problem_type == "regression":
        return jnp.square(logits - labels).mean()
    return -(labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits)).mean()


def position_loss(logits: Float[Array, "batch tgt"], positions: Int[Array, " batch"]) -> Float[Array, ""]:
    """Cross-entropy over the positions of a text; rows whose label is outside the text are ignored."""
    inside = (positions >= 0) & (positions < logits.shape[1])
    return cross_entropy(logits, jnp.where(inside, positions, IGNORED))
