# Twin: reference/in_torch/bart.py
"""BART with its language-model head (Lewis et al. 2020, arXiv:1910.13461, section 2), evaluated: no dropout."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int

from reference.config import BartConfig
from reference.in_flax.cache import Cache, KeysValues, LayerCache
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

    def nothing_past(self, memory: Float[Array, "batch src d_model"]) -> tuple[LayerCache, ...]:
        """Every layer's view of the encoder's last states, and nothing of its own."""
        return tuple(LayerCache(None, layer.encoder_attn.keys_values(memory)) for layer in self.layers)

    def __call__(
        self,
        embedded: Float[Array, "batch tgt d_model"],
        past: tuple[LayerCache, ...],
        start: int | Int[Array, ""],
        keep: Bool[Array, "batch 1 tgt keys"],
        memory_keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, "layers heads"] | None,
        cross_head_mask: Float[Array, "layers heads"] | None,
    ) -> tuple[tuple[LayerCache, ...], tuple[Array, ...], tuple[Array, ...] | None, tuple[Array, ...] | None]:
        """What every layer keeps; its states, self-attentions and cross-attentions, shaped as in ``DecoderOutput``."""
        hidden = self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1], start))
        kept, states, attentions, cross_attentions = [], [hidden], [], []
        head_masks = by_layer(head_mask, len(self.layers))
        cross_head_masks = by_layer(cross_head_mask, len(self.layers))
        for layer, before, own, cross in zip(self.layers, past, head_masks, cross_head_masks, strict=True):
            hidden, after, weights, cross_weights = layer(hidden, before, start, keep, memory_keep, own, cross)
            kept.append(after)
            states.append(hidden)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
        return tuple(kept), tuple(states), collected(attentions), collected(cross_attentions)


class BartModel(nnx.Module):
    """Both stacks and the one table of token vectors they share."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        self.shared = TokenEmbedding(config.vocab_size, config.d_model, config.scale_embedding, rngs)
        self.encoder = BartEncoder(config, attention, rngs)
        self.decoder = BartDecoder(config, attention, rngs)


class BartForConditionalGeneration(nnx.Module):
    """BART with its head: the shared table again, or a table of its own where ``tie_word_embeddings`` is false.

    Both stacks are compiled, once per set of shapes. Parameters carry Flax's own names; ``loading`` knows the others.

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
        masks = (attention_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            past = self.model.decoder.nothing_past(encoder_last_hidden_state)
        return self._decode(decoder_input_ids, past, 0, *masks)[0]

    def start_cache(self, encoder_last_hidden_state: Float[Array, "batch src d_model"], capacity: int) -> Cache:
        """A cache with nothing written, for at most ``capacity`` tokens.

        Raises:
            ValueError: there are fewer positions than that.
        """
        if capacity > self.config.max_position_embeddings:
            raise ValueError(f"room for {capacity} tokens, but {self.config.max_position_embeddings} positions")
        return Cache(self._empty_layers(encoder_last_hidden_state, capacity), 0)

    def step(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        cache: Cache,
        attention_mask: Int[Array, "batch src"] | None = None,
        decoder_attention_mask: Int[Array, "batch capacity"] | None = None,
    ) -> tuple[DecoderOutput, Cache]:
        """The next tokens, one or several: what the decoder says of them, and the cache with them in it.

        Args:
            decoder_attention_mask: of all tokens there is room for, those fed before and those to come.

        Raises:
            ValueError: there is no room for as many.
        """
        batch, tgt = decoder_input_ids.shape
        src, room = cache.layers[0].cross.key.shape[2], cache.capacity
        if cache.length + tgt > room:
            raise ValueError(f"{cache.length} tokens and {tgt} more, but room for {room}")
        if attention_mask is None:
            attention_mask = jnp.ones((batch, src), decoder_input_ids.dtype)
        if decoder_attention_mask is None:
            decoder_attention_mask = jnp.ones((batch, room), decoder_input_ids.dtype)
        masks = (attention_mask, decoder_attention_mask, None, None)
        decoded, layers = self._decode(decoder_input_ids, cache.layers, cache.length, *masks)
        return decoded, Cache(layers, cache.length + tgt)

    @partial(jax.jit, static_argnames="capacity")
    def _empty_layers(
        self, encoder_last_hidden_state: Float[Array, "batch src d_model"], capacity: int
    ) -> tuple[LayerCache, ...]:
        with matmul_precision(self.precision):
            past = self.model.decoder.nothing_past(encoder_last_hidden_state)
        batch, heads, _, head_dim = past[0].cross.key.shape
        empty = jnp.zeros((batch, heads, capacity, head_dim), past[0].cross.key.dtype)
        return tuple(LayerCache(KeysValues(empty, empty), layer.cross) for layer in past)

    @jax.jit
    def _decode(
        self,
        decoder_input_ids: Int[Array, "batch tgt"],
        past: tuple[LayerCache, ...],
        start: int | Int[Array, ""],
        attention_mask: Int[Array, "batch src"],
        decoder_attention_mask: Int[Array, "batch keys"],
        decoder_head_mask: Float[Array, "decoder_layers heads"] | None,
        cross_attn_head_mask: Float[Array, "decoder_layers heads"] | None,
    ) -> tuple[DecoderOutput, tuple[LayerCache, ...]]:
        """The tokens from position ``start`` on, after what is kept of those before."""
        keep = causal_mask(decoder_attention_mask, start, decoder_input_ids.shape[1])
        masks = (keep, padding_mask(attention_mask), decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            embedded = self.model.shared(decoder_input_ids)
            layers, states, attentions, cross_attentions = self.model.decoder(embedded, past, start, *masks)
            return DecoderOutput(self.score(states[-1]), states, attentions, cross_attentions), layers

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """The head: one logit per token of the vocabulary."""
        scores = self.model.shared.scores(hidden) if self.config.tie_word_embeddings else self.lm_head(hidden)
        return scores + self.final_logits_bias

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
