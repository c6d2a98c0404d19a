# Peer reference: reference/in_torch/outputs.py
"""What the model gives back. Fields are named and ordered as in the documented ``Seq2SeqLMOutput``.

``hidden_states`` start with the normalised embeddings and end with the last layer's; attention weights come layer by
layer, and are None where the variant (``sdpa``) has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import Array
from jaxtyping import Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EncoderOutput:
    """``encode``: 1 + encoder_layers states, encoder_layers attentions.

    ``last_hidden_state`` is the last of the states, but for speech encoders with an adapter, which shortens them.
    """

    last_hidden_state: Float[Array, "batch src memory"]
    hidden_states: tuple[Float[Array, "batch frames d_model"], ...]
    attentions: tuple[Float[Array, "batch heads frames frames"], ...] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecoderOutput:
    """``decode`` and ``step``: 1 + decoder_layers states, decoder_layers attentions of each kind.

    In ``step`` self-attention's keys are all positions there is room for; those not yet written have weight 0.
    """

    logits: Float[Array, "batch tgt vocab"]
    hidden_states: tuple[Float[Array, "batch tgt d_model"], ...]
    attentions: tuple[Float[Array, "batch heads tgt keys"], ...] | None
    cross_attentions: tuple[Float[Array, "batch heads tgt src"], ...] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CausalOutput:
    """A decoder that stands alone; ``loss`` is None without labels, ``cross_attentions`` without an encoder."""

    loss: Float[Array, ""] | None
    logits: Float[Array, "batch tgt vocab"]
    hidden_states: tuple[Float[Array, "batch tgt d_model"], ...]
    attentions: tuple[Float[Array, "batch heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Array, "batch heads tgt src"], ...] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BareOutput:
    """``BartModel``: the decoder's last states, and everything that made them."""

    last_hidden_state: Float[Array, "batch tgt d_model"]
    decoder_hidden_states: tuple[Float[Array, "batch tgt d_model"], ...]
    decoder_attentions: tuple[Float[Array, "batch decoder_heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Array, "batch decoder_heads tgt src"], ...] | None
    encoder_last_hidden_state: Float[Array, "batch src memory"]
    encoder_hidden_states: tuple[Float[Array, "batch frames width"], ...]
    encoder_attentions: tuple[Float[Array, "batch encoder_heads frames frames"], ...] | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ClassificationOutput:
    """``BartForSequenceClassification``; ``loss`` is None without labels."""

    loss: Float[Array, ""] | None
    logits: Float[Array, "batch labels"]
    states: BareOutput


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnsweringOutput:
    """``BartForQuestionAnswering``: scores of every position as the first and the last of the answer."""

    loss: Float[Array, ""] | None
    start_logits: Float[Array, "batch tgt"]
    end_logits: Float[Array, "batch tgt"]
    states: BareOutput


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Seq2SeqOutput:
    """The whole call; ``loss`` is None without labels."""

    loss: Float[Array, ""] | None
    logits: Float[Array, "batch tgt vocab"]
    decoder_hidden_states: tuple[Float[Array, "batch tgt d_model"], ...]
    decoder_attentions: tuple[Float[Array, "batch decoder_heads tgt tgt"], ...] | None
    cross_attentions: tuple[Float[Array, "batch decoder_heads tgt src"], ...] | None
    encoder_last_hidden_state: Float[Array, "batch src memory"]
    encoder_hidden_states: tuple[Float[Array, "batch frames width"], ...]
    encoder_attentions: tuple[Float[Array, "batch encoder_heads frames frames"], ...] | None
