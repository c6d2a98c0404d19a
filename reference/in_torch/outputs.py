# Peer reference: reference/in_flax/outputs.py
"""Output classes. Fields have the names and order of the documented ``Seq2SeqLMOutput``.

``hidden_states`` start with the normalised embeddings and end with the last layer's states. There is one array of
attention weights per layer; they are None for ``sdpa``.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class EncoderOutput:
    """``encode``: 1 + encoder_layers states, encoder_layers attentions.

    ``last_hidden_state`` is the last of the states, except for speech encoders with an adapter, which shortens them.
    """

    last_hidden_state: Float[Tensor, "batch src memory"]
    hidden_states: tuple[Float[Tensor, "batch frames d_model"], ...]
    attentions: tuple[Float[Tensor, "batch heads frames frames"], ...] | None


@dataclass(frozen=True)
class DecoderOutput:
    """``decode`` and ``step``: 1 + decoder_layers states, decoder_layers attentions of each kind.

    In ``step`` the keys of self-attention are all positions of the buffer; those not yet written have weight 0.
    """

    logits: Float[Tensor, "batch tgt vocab"]
    hidden_states: tuple[Float[Tensor, "batch tgt d_model"], ...]
    attentions: tuple[Float[Tensor, "batch heads tgt keys"], ...] | None
    cross_attentions: tuple[Float[Tensor, "batch heads tgt src"], ...] | None


@dataclass(frozen=True)
class CausalOutput:
    """Output of a decoder-only model; ``loss`` is None without labels, ``cross_attentions`` without an encoder."""

    loss: Float[Tensor, ""] | None
    logits: Float[Tensor, "batch tgt vocab"]
    hidden_states: tuple[Float[Tensor, "batch tgt d_model"], ...]
    attentions: tuple[Float[Tensor, "batch heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Tensor, "batch heads tgt src"], ...] | None


@dataclass(frozen=True)
class BareOutput:
    """Output of ``BartModel``: the decoder's last states, and all intermediate states."""

    last_hidden_state: Float[Tensor, "batch tgt d_model"]
    decoder_hidden_states: tuple[Float[Tensor, "batch tgt d_model"], ...]
    decoder_attentions: tuple[Float[Tensor, "batch decoder_heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Tensor, "batch decoder_heads tgt src"], ...] | None
    encoder_last_hidden_state: Float[Tensor, "batch src memory"]
    encoder_hidden_states: tuple[Float[Tensor, "batch frames width"], ...]
    encoder_attentions: tuple[Float[Tensor, "batch encoder_heads frames frames"], ...] | None


@dataclass(frozen=True)
class ClassificationOutput:
    """Output of ``BartForSequenceClassification``; ``loss`` is None without labels."""

    loss: Float[Tensor, ""] | None
    logits: Float[Tensor, "batch labels"]
    states: BareOutput


@dataclass(frozen=True)
class AnsweringOutput:
    """Output of ``BartForQuestionAnswering``: scores of every position as the start and the end of the answer."""

    loss: Float[Tensor, ""] | None
    start_logits: Float[Tensor, "batch tgt"]
    end_logits: Float[Tensor, "batch tgt"]
    states: BareOutput


@dataclass(frozen=True)
class Seq2SeqOutput:
    """Output of an encoder-decoder model; ``loss`` is None without labels."""

    loss: Float[Tensor, ""] | None
    logits: Float[Tensor, "batch tgt vocab"]
    decoder_hidden_states: tuple[Float[Tensor, "batch tgt d_model"], ...]
    decoder_attentions: tuple[Float[Tensor, "batch decoder_heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Tensor, "batch decoder_heads tgt src"], ...] | None
    encoder_last_hidden_state: Float[Tensor, "batch src memory"]
    encoder_hidden_states: tuple[Float[Tensor, "batch frames width"], ...]
    encoder_attentions: tuple[Float[Tensor, "batch encoder_heads frames frames"], ...] | None
