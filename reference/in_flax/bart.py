# Twin: reference/in_torch/bart.py
"""BART with its language-model head (Lewis et al. 2020, arXiv:1910.13461, section 2), evaluated: no dropout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int

from reference.config import BartConfig
from reference.in_flax.embeddings import LearnedPositions, TokenEmbedding
from reference.in_flax.labels import cross_entropy, shift_right
from reference.in_flax.layers import DecoderLayer, EncoderLayer
from reference.in_flax.masks import causal_mask, padding_mask
from reference.in_flax.normalisation import LayerNorm
from reference.in_flax.outputs import DecoderOutput, EncoderOutput, Seq2SeqOutput
from reference.in_flax.precision import matmul_precision


def by_layer(head_mask: Float[Array, "layers heads"] | None, layers: int) -> list[Array | None]:
    """A head mask's rows, or as many Nones.

    Raises:
        ValueError: the mask is for another number of layers.
    """
    if head_mask is None:
        return [None] * layers
    if len(head_mask) != layers:
        raise ValueError(f"a head mask for {len(head_mask)} layers, but there are {layers}")
    return list(head_mask)


def collected(attentions: list[Array | None]) -> tuple[Array, ...] | None:
    """Every layer's attention weights, or None where the variant has none."""
    return None if any(weights is None for weights in attentions) else tuple(attentions)


class Buffer(nnx.Variable):
    """An array that is loaded with the parameters and never trained."""


class BartEncoder(nnx.Module):
    """Positions, a normalisation, and the layers; every position sees every unmasked one."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        sizes = (config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model, rngs)
        self.layernorm_embedding = LayerNorm(config.d_model, rngs)
        self.layers = nnx.List(
            EncoderLayer(*sizes, config.activation_function, attention, rngs) for _ in range(config.encoder_layers)
        )

    def __call__(
        self,
        embedded: Float[Array, "batch src d_model"],
        keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, "layers heads"] | None,
    ) -> EncoderOutput:
        """States and attentions of every layer."""
        hidden = self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1]))
        states, attentions = [hidden], []
        for layer, layer_head_mask in zip(self.layers, by_layer(head_mask, len(self.layers)), strict=True):
            hidden, weights = layer(hidden, keep, layer_head_mask)
            states.append(hidden)
            attentions.append(weights)
        return EncoderOutput(hidden, tuple(states), collected(attentions))


class BartDecoder(nnx.Module):
    """Positions, a normalisation, and the layers; no position sees a later one."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        sizes = (config.d_model, config.decoder_attention_heads, config.decoder_ffn_dim)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model, rngs)
        self.layernorm_embedding = LayerNorm(config.d_model, rngs)
        self.layers = nnx.List(
            DecoderLayer(*sizes, config.activation_function, attention, rngs) for _ in range(config.decoder_layers)
        )

    def __call__(
        self,
        embedded: Float[Array, "batch tgt d_model"],
        memory: Float[Array, "batch src d_model"],
        keep: Bool[Array, "batch 1 tgt tgt"],
        memory_keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, "layers heads"] | None,
        cross_head_mask: Float[Array, "layers heads"] | None,
    ) -> tuple[tuple[Array, ...], tuple[Array, ...] | None, tuple[Array, ...] | None]:
        """States, self-attentions and cross-attentions of every layer, shaped as in ``DecoderOutput``."""
        hidden = self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1]))
        states, attentions, cross_attentions = [hidden], [], []
        head_masks = by_layer(head_mask, len(self.layers))
        cross_head_masks = by_layer(cross_head_mask, len(self.layers))
        for layer, own, cross in zip(self.layers, head_masks, cross_head_masks, strict=True):
            hidden, weights, cross_weights = layer(hidden, memory, keep, memory_keep, own, cross)
            states.append(hidden)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
        return tuple(states), collected(attentions), collected(cross_attentions)


class BartModel(nnx.Module):
    """Both stacks and the one table of token vectors they share."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        self.shared = TokenEmbedding(config.vocab_size, config.d_model, config.scale_embedding, rngs)
        self.encoder = BartEncoder(config, attention, rngs)
        self.decoder = BartDecoder(config, attention, rngs)


class BartForConditionalGeneration(nnx.Module):
    """BART with its head: the shared table again, or a table of its own where ``tie_word_embeddings`` is false.

    Every call is compiled, once per set of shapes. Parameters carry Flax's own names; ``loading`` knows the others.

    Args:
        attention: ``eager`` (plain, returns attentions) or ``sdpa`` (the framework's fused kernel, returns none).
        precision: of float32 products: ``highest``, or ``default`` for whatever the framework chooses.
    """

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.precision = precision
        self.model = BartModel(config, attention, rngs)
        self.final_logits_bias = Buffer(jnp.zeros((1, config.vocab_size)))
        if not config.tie_word_embeddings:
            self.lm_head = nnx.Linear(config.d_model, config.vocab_size, use_bias=False, rngs=rngs)

    @jax.jit
    def encode(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """The encoder alone; without a mask every token is seen, padding too (BART page, ``attention_mask``)."""
        if attention_mask is None:
            attention_mask = jnp.ones_like(input_ids)
        with matmul_precision(self.precision):
            return self.model.encoder(self.model.shared(input_ids), padding_mask(attention_mask), head_mask)

    @jax.jit
    def decode(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        encoder_last_hidden_state: Float[Array, "batch src d_model"],
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_attention_mask: Int[Array, "batch tgt"] | None = None,
        decoder_head_mask: Float[Array, "decoder_layers heads"] | None = None,
        cross_attn_head_mask: Float[Array, "decoder_layers heads"] | None = None,
    ) -> DecoderOutput:
        """The decoder and the head, given the encoder's last states.

        Without a ``decoder_attention_mask`` padding in ``decoder_input_ids`` is seen like any token. The BART page
        says that it is ignored; no class of transformers 4.57.6 does that, and no other position can tell when the
        padding is on the right.
        """
        batch, src, _ = encoder_last_hidden_state.shape
        if attention_mask is None:
            attention_mask = jnp.ones((batch, src), decoder_input_ids.dtype)
        if decoder_attention_mask is None:
            decoder_attention_mask = jnp.ones_like(decoder_input_ids)
        keep, memory_keep = causal_mask(decoder_attention_mask), padding_mask(attention_mask)
        head_masks = (decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            embedded = self.model.shared(decoder_input_ids)
            states, attentions, cross_attentions = self.model.decoder(
                embedded, encoder_last_hidden_state, keep, memory_keep, *head_masks
            )
            return DecoderOutput(self.score(states[-1]), states, attentions, cross_attentions)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """The head: one logit per token of the vocabulary."""
        scores = self.model.shared.scores(hidden) if self.config.tie_word_embeddings else self.lm_head(hidden)
        return scores + self.final_logits_bias

    @jax.jit
    def __call__(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_input_ids: Int[Array, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Array, "batch tgt"] | None = None,
        head_mask: Float[Array, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
        labels: Int[Array, "batch tgt"] | None = None,
    ) -> Seq2SeqOutput:
        """The documented call (BART page, ``BartForConditionalGeneration.forward``).

        Masks hold 1 for what is kept and 0 for what is hidden or silenced. Where no ``decoder_input_ids`` are given
        they are the labels shifted right, or ``input_ids`` shifted right where there are no labels either.

        Raises:
            ValueError: a sequence is longer than the positions, or a head mask is for another number of layers.
        """
        if decoder_input_ids is None:
            tokens = input_ids if labels is None else labels
            decoder_input_ids = shift_right(tokens, self.config.pad_token_id, self.config.decoder_start_token_id)
        encoded = self.encode(input_ids, attention_mask, head_mask)
        decoder_masks = (attention_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        decoded = self.decode(decoder_input_ids, encoded.last_hidden_state, *decoder_masks)
        return Seq2SeqOutput(
            loss=None if labels is None else cross_entropy(decoded.logits, labels),
            logits=decoded.logits,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
        )
