# Peer reference: reference/in_torch/seq2seq.py
"""Base classes of decoders and of encoder-decoder models, for all architectures."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from reference.config.tokens import Tokens
from reference.in_flax.cache import Cache, KeysValues, LayerCache
from reference.in_flax.encoder import Encoder
from reference.in_flax.labels import cross_entropy, shift_right
from reference.in_flax.masks import causal_mask, padding_mask
from reference.in_flax.model import C, Model, compiled
from reference.in_flax.outputs import CausalOutput, DecoderOutput, Seq2SeqOutput
from reference.in_flax.precision import matmul_precision
from reference.in_flax.stacks import DecoderStack


class TextDecoder(Model[C]):
    """A decoder with a language-model head. Subclasses define the embedding of tokens and the head.

    Attributes:
        positions: the number of positions.
        labels_are_next: whether the label of a position is the next token, as in architectures whose labels are the
            inputs; BART's causal model compares each position with the label at the same position (transformers
            4.57.6, modeling_bart.py, BartForCausalLM.forward).
    """

    positions: int
    labels_are_next = True

    def layers(self) -> DecoderStack:
        """The layers between the embedding and the head."""
        raise NotImplementedError

    def like(self) -> Array:
        """Any parameter of the model, for its dtype and device."""
        return self.layers().layers[0].fc1.kernel[...]

    def memory(self, encoder_last_hidden_state: Float[Array, "batch src _"]) -> Float[Array, "batch src d_model"]:
        """The input of cross-attention: the encoder's last states, transformed if the architecture requires it."""
        return encoder_last_hidden_state

    def embed(
        self, ids: Int[Array, "batch tgt"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the first layer for tokens that start at position ``position_offset``."""
        raise NotImplementedError

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """Applies the head: one logit per token of the vocabulary."""
        raise NotImplementedError

    @compiled
    def decode(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        encoder_last_hidden_state: Float[Array, "batch src _"] | None,
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_attention_mask: Int[Array, "batch tgt"] | None = None,
        decoder_head_mask: Float[Array, "decoder_layers heads"] | None = None,
        cross_attn_head_mask: Float[Array, "decoder_layers heads"] | None = None,
    ) -> DecoderOutput:
        """Runs the decoder and the head on the encoder's last states, or on None without an encoder.

        Without a ``decoder_attention_mask``, padding in ``decoder_input_ids`` is attended to like any token. The BART
        page documents that it is ignored, which no class of transformers 4.57.6 implements; right padding does not
        affect other positions.
        """
        if attention_mask is None and encoder_last_hidden_state is not None:
            attention_mask = jnp.ones(encoder_last_hidden_state.shape[:2], decoder_input_ids.dtype)
        if decoder_attention_mask is None:
            decoder_attention_mask = jnp.ones_like(decoder_input_ids)
        masks = (attention_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        return self._decode(decoder_input_ids, self._nothing_past(encoder_last_hidden_state), 0, *masks)[0]

    def start_cache(
        self, encoder_last_hidden_state: Float[Array, "batch src _"] | None, capacity: int, batch: int = 1
    ) -> Cache:
        """An empty cache for at most ``capacity`` tokens.

        Args:
            batch: the number of rows, if there are no encoder states to take it from.

        Raises:
            ValueError: ``capacity`` exceeds the number of positions.
        """
        if capacity > self.positions:
            raise ValueError(f"room for {capacity} tokens, but {self.positions} positions")
        return Cache(self._empty_layers(encoder_last_hidden_state, capacity, batch), 0)

    def step(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        cache: Cache,
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_attention_mask: Int[Array, "batch capacity"] | None = None,
    ) -> tuple[DecoderOutput, Cache]:
        """Feeds one or several further tokens; returns the decoder's output and the updated cache.

        Args:
            decoder_attention_mask: over all positions of the cache, both earlier and future ones.

        Raises:
            ValueError: the tokens exceed the capacity of the cache.
        """
        batch, tgt = decoder_input_ids.shape
        cross, room = cache.layers[0].cross, cache.capacity
        if cache.length + tgt > room:
            raise ValueError(f"{cache.length} tokens in the cache and {tgt} new ones exceed its capacity of {room}")
        if attention_mask is None and cross is not None:
            attention_mask = jnp.ones((batch, cross.key.shape[2]), decoder_input_ids.dtype)
        if decoder_attention_mask is None:
            decoder_attention_mask = jnp.ones((batch, room), decoder_input_ids.dtype)
        masks = (attention_mask, decoder_attention_mask, None, None)
        decoded, layers = self._decode(decoder_input_ids, cache.layers, cache.length, *masks)
        return decoded, Cache(layers, cache.length + tgt)

    @partial(jax.jit, static_argnames=("capacity", "batch"))
    def _empty_layers(
        self, encoder_last_hidden_state: Float[Array, "batch src _"] | None, capacity: int, batch: int
    ) -> tuple[LayerCache, ...]:
        stack, past = self.layers(), self._nothing_past(encoder_last_hidden_state)
        rows = batch if encoder_last_hidden_state is None else len(encoder_last_hidden_state)
        head_dim = stack.shape.d_model // stack.shape.heads
        empty = jnp.zeros((rows, stack.shape.heads, capacity, head_dim), stack.layers[0].fc1.kernel.dtype)
        return tuple(LayerCache(KeysValues(empty, empty), layer.cross) for layer in past)

    def _nothing_past(self, encoder_last_hidden_state: Float[Array, "batch src _"] | None) -> tuple[LayerCache, ...]:
        """The cache of every layer with cross-attention keys and values only (None without an encoder)."""
        with matmul_precision(self.precision):
            memory = None if encoder_last_hidden_state is None else self.memory(encoder_last_hidden_state)
            return self.layers().nothing_past(memory)

    @compiled
    def _decode(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        past: tuple[LayerCache, ...],
        position_offset: int | Int[Array, ""],
        attention_mask: Int[Array, "batch src"] | None,
        decoder_attention_mask: Int[Array, "batch keys"],
        decoder_head_mask: Float[Array, "decoder_layers heads"] | None,
        cross_attn_head_mask: Float[Array, "decoder_layers heads"] | None,
    ) -> tuple[DecoderOutput, tuple[LayerCache, ...]]:
        """Runs the decoder on tokens starting at ``position_offset``, with the cache of earlier tokens."""
        keep = causal_mask(decoder_attention_mask, position_offset, decoder_input_ids.shape[1])
        memory_keep = None if attention_mask is None else padding_mask(attention_mask)
        masks = (keep, memory_keep, decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            embedded = self.embed(decoder_input_ids, position_offset)
            layers, states, attentions, cross_attentions = self.layers().run(embedded, past, position_offset, *masks)
            return DecoderOutput(self.score(states[-1]), states, attentions, cross_attentions), layers

    def __call__(
        self,
        input_ids: Int[Array, "batch tgt"],
        attention_mask: Int[Array, "batch tgt"] | None = None,
        encoder_hidden_states: Float[Array, "batch src _"] | None = None,
        encoder_attention_mask: Int[Array, "batch src"] | None = None,
        head_mask: Float[Array, "layers heads"] | None = None,
        cross_attn_head_mask: Float[Array, "layers heads"] | None = None,
        labels: Int[Array, "batch tgt"] | None = None,
    ) -> CausalOutput:
        """The documented call of a decoder-only model (BART page, ``BartForCausalLM.forward``)."""
        masks = (encoder_attention_mask, attention_mask, head_mask, cross_attn_head_mask)
        decoded = self.decode(input_ids, encoder_hidden_states, *masks)
        loss, shift = None, int(self.labels_are_next)
        if labels is not None:
            loss = cross_entropy(decoded.logits[:, : labels.shape[1] - shift], labels[:, shift:])
        return CausalOutput(loss, decoded.logits, decoded.hidden_states, decoded.attentions, decoded.cross_attentions)


class Seq2Seq(Encoder[C], TextDecoder[C]):
    """An encoder-decoder model. Subclasses define the encoder in addition to the methods of a decoder.

    Attributes:
        pad: the token that replaces ignored labels in the decoder inputs.
        decoder_start_token_id: the first token when labels are shifted right.
    """

    pad: Tokens
    decoder_start_token_id: Tokens

    def shifted(
        self,
        input_ids: Int[Array, "batch src"] | Float[Array, "batch samples"],
        labels: Int[Array, "batch tgt"] | None,
    ) -> tuple[Int[Array, "batch tgt"], Int[Array, "batch tgt"] | None]:
        """The default decoder inputs if none are passed, and their mask (None if all are attended to)."""
        return shift_right(input_ids if labels is None else labels, self.pad, self.decoder_start_token_id), None

    # The documented call of an encoder-decoder model has other arguments than that of a decoder.
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Int[Array, "batch src"] | Float[Array, "batch samples"],
        attention_mask: Int[Array, "batch _"] | None = None,
        decoder_input_ids: Int[Array, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Array, "batch tgt"] | None = None,
        head_mask: Float[Array, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Array, "decoder_layers decoder_heads"] | None = None,
        labels: Int[Array, "batch tgt"] | None = None,
        label_smoothing: float | Float[Array, ""] | None = None,
    ) -> Seq2SeqOutput:
        """The documented call (BART page, ``BartForConditionalGeneration.forward``).

        In masks, 1 keeps a token or head and 0 masks it. The default ``decoder_input_ids`` are the labels shifted
        right, or ``input_ids`` shifted right without labels. ``label_smoothing`` is not a documented argument of the
        call, but of trainers (``labels.cross_entropy``).

        Raises:
            ValueError: a sequence is longer than the position table, or a head mask has the wrong number of layers.
        """
        if decoder_input_ids is None:
            decoder_input_ids, shifted_mask = self.shifted(input_ids, labels)
            decoder_attention_mask = shifted_mask if decoder_attention_mask is None else decoder_attention_mask
        encoded = self.encode(input_ids, attention_mask, head_mask)
        source_mask = self.source_mask(attention_mask, encoded.last_hidden_state)
        decoder_masks = (source_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        decoded = self.decode(decoder_input_ids, encoded.last_hidden_state, *decoder_masks)
        return Seq2SeqOutput(
            loss=None if labels is None else cross_entropy(decoded.logits, labels, label_smoothing),
            logits=decoded.logits,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
        )
