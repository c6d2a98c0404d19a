# Peer reference: reference/in_flax/bart_heads.py
# Each class has its own documented call signature.
# pyright: reportIncompatibleMethodOverride=false
"""BART without a head, with a classification head, and with a question-answering head (BART page; Lewis et al. 2020,
section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from reference.config import BartConfig
from reference.config.tokens import only
from reference.in_torch.bart import BareBart
from reference.in_torch.labels import IGNORED, cross_entropy
from reference.in_torch.outputs import AnsweringOutput, BareOutput, ClassificationOutput
from reference.in_torch.precision import matmul_precision


class BartModel(BareBart):
    """The bare model."""

    def forward(
        self,
        input_ids: Int[Tensor, "batch src"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        decoder_input_ids: Int[Tensor, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch tgt"] | None = None,
        head_mask: Float[Tensor, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
    ) -> BareOutput:
        """The documented call; without ``decoder_input_ids`` the decoder input is the source shifted right.

        Raises:
            ValueError: a sequence is longer than the position table, or a head mask has the wrong number of layers.
        """
        masks = (head_mask, decoder_head_mask, cross_attn_head_mask)
        found = super().forward(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, *masks)
        return BareOutput(
            found.logits,
            found.decoder_hidden_states,
            found.decoder_attentions,
            found.cross_attentions,
            found.encoder_last_hidden_state,
            found.encoder_hidden_states,
            found.encoder_attentions,
        )


class ClassificationHead(nn.Module):
    """Two linear layers with a tanh between them (transformers 4.57.6, modeling_bart.py, BartClassificationHead)."""

    def __init__(self, d_model: int, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, labels)

    def forward(self, hidden: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch labels"]:
        """One logit per label."""
        return self.out_proj(torch.tanh(self.dense(hidden)))


class BartForSequenceClassification(BartModel):
    """Classifies a text from the decoder state at its last end token (Lewis et al. 2020, 3.1)."""

    def __init__(self, config: BartConfig, attention: str = "eager", precision: str = "highest") -> None:
        super().__init__(config, attention, precision)
        self.classification_head = ClassificationHead(config.d_model, config.num_labels)

    def forward(
        self,
        input_ids: Int[Tensor, "batch src"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        labels: Int[Tensor, " batch"] | Float[Tensor, "batch ..."] | None = None,
        **others: Tensor | None,
    ) -> ClassificationOutput:
        """The documented call; other arguments and errors as in ``BartModel``.

        Args:
            labels: depending on ``config.problem_type``, a class for each text, a number for each text and label
                (regression), or a 0 or 1 for each (multi-label). If it is None, the type is inferred from the labels.

        Raises:
            ValueError: rows have different numbers of end tokens, or none.
        """
        states = super().forward(input_ids, attention_mask, **others)
        last = last_ends(input_ids, only(self.config.eos_token_id, "eos_token_id", "no end token to classify by"))
        with matmul_precision(self.precision):
            rows = torch.arange(len(last), device=last.device)
            logits = self.classification_head(states.last_hidden_state[rows, last])
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return ClassificationOutput(loss, logits, states)


class BartForQuestionAnswering(BartModel):
    """Extractive question answering: scores for each position as the start and as the end of the answer."""

    def __init__(self, config: BartConfig, attention: str = "eager", precision: str = "highest") -> None:
        super().__init__(config, attention, precision)
        self.qa_outputs = nn.Linear(config.d_model, 2)

    def forward(
        self,
        input_ids: Int[Tensor, "batch src"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        start_positions: Int[Tensor, " batch"] | None = None,
        end_positions: Int[Tensor, " batch"] | None = None,
        **others: Tensor | None,
    ) -> AnsweringOutput:
        """The documented call; other arguments and errors as in ``BartModel``.

        Label positions outside the text are ignored by the loss.
        """
        states = super().forward(input_ids, attention_mask, **others)
        with matmul_precision(self.precision):
            logits = self.qa_outputs(states.last_hidden_state)
        first, final, loss = logits[:, :, 0], logits[:, :, 1], None
        if start_positions is not None and end_positions is not None:
            loss = (position_loss(first, start_positions) + position_loss(final, end_positions)) / 2
        return AnsweringOutput(loss, first, final, states)


def last_ends(input_ids: Int[Tensor, "batch src"], eos: int) -> Int[Tensor, " batch"]:
    """The position of each row's last end token.

    Raises:
        ValueError: rows have different numbers of end tokens, or none.
    """
    ends = input_ids == eos
    check_ends(ends.sum(1))
    return (ends * torch.arange(1, ends.shape[1] + 1, device=ends.device)).argmax(1)


def check_ends(counts: Int[Tensor, " batch"]) -> None:
    """Raises ValueError unless all rows have the same number of end tokens, at least one."""
    found = sorted({int(count) for count in counts})
    if len(found) > 1 or not found[0]:
        raise ValueError(f"all texts must have the same number of end tokens, at least one; found {found}")


def classification_loss(
    logits: Float[Tensor, "batch labels"], labels: Tensor, problem_type: str | None
) -> Float[Tensor, ""]:
    """Mean squared error, cross-entropy, or per-label binary cross-entropy (BART page, ``labels``)."""
    if problem_type is None:
        several = "multi_label_classification" if labels.is_floating_point() else "single_label_classification"
        problem_type = "regression" if logits.shape[1] == 1 else several
    if problem_type == "single_label_classification":
        return cross_entropy(logits, labels.reshape(-1))
    labels = labels.reshape(logits.shape).to(logits.dtype)
    if problem_type == "regression":
        return (logits - labels).square().mean()
    return -(labels * functional.logsigmoid(logits) + (1 - labels) * functional.logsigmoid(-logits)).mean()


def position_loss(logits: Float[Tensor, "batch tgt"], positions: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Cross-entropy over the positions of a text; rows whose label is outside the text are ignored."""
    inside = (positions >= 0) & (positions < logits.shape[1])
    return cross_entropy(logits, torch.where(inside, positions, IGNORED))
