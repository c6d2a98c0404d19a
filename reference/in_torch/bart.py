# Twin: reference/in_flax/bart.py
"""BART with its language-model head (Lewis et al. 2020, arXiv:1910.13461, section 2), evaluated: no dropout."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reference.config import BartConfig
from reference.in_torch.cache import Cache, KeysValues, LayerCache
from reference.in_torch.embeddings import LearnedPositions, TokenEmbedding
from reference.in_torch.labels import cross_entropy, shift_right
from reference.in_torch.layers import DecoderLayer, EncoderLayer
from reference.in_torch.masks import causal_mask, padding_mask
from reference.in_torch.normalisation import LayerNorm
from reference.in_torch.outputs import DecoderOutput, EncoderOutput, Seq2SeqOutput
from reference.in_torch.precision import matmul_precision


def by_layer(head_mask: Float[Tensor, "layers heads"] | None, layers: int) -> list[Tensor | None]:
    """A head mask's rows, or as many Nones.

    Raises:
        ValueError: the mask is for another number of layers.
    """
    if head_mask is None:
        return [None] * layers
    if len(head_mask) != layers:
        raise ValueError(f"a head mask for {len(head_mask)} layers, but there are {layers}")
    return list(head_mask)


def collected(attentions: list[Tensor | None]) -> tuple[Tensor, ...] | None:
    """Every layer's attention weights, or None where the variant has none."""
    return None if any(weights is None for weights in attentions) else tuple(attentions)


class BartEncoder(nn.Module):
    """Positions, a normalisation, and the layers; every position sees every unmasked one."""

    def __init__(self, config: BartConfig, attention: str) -> None:
        super().__init__()
        sizes = (config.d_model, config.encoder_attention_heads, config.encoder_ffn_dim)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model)
        self.layernorm_embedding = LayerNorm(config.d_model)
        self.layers = nn.ModuleList(
            EncoderLayer(*sizes, config.activation_function, attention) for _ in range(config.encoder_layers)
        )

    def forward(
        self,
        embedded: Float[Tensor, "batch src d_model"],
        keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, "layers heads"] | None,
    ) -> EncoderOutput:
        """States and attentions of every layer."""
        hidden = self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1]))
        states, attentions = [hidden], []
        for layer, layer_head_mask in zip(self.layers, by_layer(head_mask, len(self.layers)), strict=True):
            hidden, weights = layer(hidden, keep, layer_head_mask)
            states.append(hidden)
            attentions.append(weights)
        return EncoderOutput(hidden, tuple(states), collected(attentions))


class BartDecoder(nn.Module):
    """Positions, a normalisation, and the layers; no position sees a later one."""

    def __init__(self, config: BartConfig, attention: str) -> None:
        super().__init__()
        sizes = (config.d_model, config.decoder_attention_heads, config.decoder_ffn_dim)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model)
        self.layernorm_embedding = LayerNorm(config.d_model)
        self.layers = nn.ModuleList(
            DecoderLayer(*sizes, config.activation_function, attention) for _ in range(config.decoder_layers)
        )

    def nothing_past(self, memory: Float[Tensor, "batch src d_model"]) -> tuple[LayerCache, ...]:
        """Every layer's view of the encoder's last states, and nothing of its own."""
        return tuple(LayerCache(None, layer.encoder_attn.keys_values(memory)) for layer in self.layers)

    def forward(
        self,
        embedded: Float[Tensor, "batch tgt d_model"],
        past: tuple[LayerCache, ...],
        start: int,
        keep: Bool[Tensor, "batch 1 tgt keys"],
        memory_keep: Bool[Tensor, "batch 1 1 src"],
        head_mask: Float[Tensor, "layers heads"] | None,
        cross_head_mask: Float[Tensor, "layers heads"] | None,
    ) -> tuple[tuple[LayerCache, ...], tuple[Tensor, ...], tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
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


class BartModel(nn.Module):
    """Both stacks and the one table of token vectors they share."""

    def __init__(self, config: BartConfig, attention: str) -> None:
        super().__init__()
        self.shared = TokenEmbedding(config.vocab_size, config.d_model, config.scale_embedding)
        self.encoder = BartEncoder(config, attention)
        self.decoder = BartDecoder(config, attention)


class BartForConditionalGeneration(nn.Module):
    """BART with its head: the shared table again, or a table of its own where ``tie_word_embeddings`` is false.

    Parameters carry their canonical names (``reference.names``).

    Args:
        attention: ``eager`` (plain, returns attentions) or ``sdpa`` (the framework's fused kernel, returns none).
        precision: of float32 products: ``highest``, or ``default`` for whatever the framework chooses.
    """

    def __init__(self, config: BartConfig, attention: str = "eager", precision: str = "highest") -> None:
        super().__init__()
        self.config = config
        self.precision = precision
        self.model = BartModel(config, attention)
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocab_size))
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def encode(
        self,
        input_ids: Int[Tensor, "batch src"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        head_mask: Float[Tensor, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """The encoder alone; without a mask every token is seen, padding too (BART page, ``attention_mask``)."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        with matmul_precision(self.precision):
            return self.model.encoder(self.model.shared(input_ids), padding_mask(attention_mask), head_mask)

    def decode(
        self,
        decoder_input_ids: Int[Tensor, "batch tgt"],
        encoder_last_hidden_state: Float[Tensor, "batch src d_model"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch tgt"] | None = None,
        decoder_head_mask: Float[Tensor, "decoder_layers heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers heads"] | None = None,
    ) -> DecoderOutput:
        """The decoder and the head, given the encoder's last states.

        Without a ``decoder_attention_mask`` padding in ``decoder_input_ids`` is seen like any token. The BART page
        says that it is ignored; no class of transformers 4.57.6 does that, and no other position can tell when the
        padding is on the right.
        """
        batch, src, _ = encoder_last_hidden_state.shape
        if attention_mask is None:
            attention_mask = decoder_input_ids.new_ones(batch, src)
        if decoder_attention_mask is None:
            decoder_attention_mask = torch.ones_like(decoder_input_ids)
        masks = (attention_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            past = self.model.decoder.nothing_past(encoder_last_hidden_state)
        return self._decode(decoder_input_ids, past, 0, *masks)[0]

    def start_cache(self, encoder_last_hidden_state: Float[Tensor, "batch src d_model"], capacity: int) -> Cache:
        """A cache with nothing written, for at most ``capacity`` tokens.

        Raises:
            ValueError: there are fewer positions than that.
        """
        if capacity > self.config.max_position_embeddings:
            raise ValueError(f"room for {capacity} tokens, but {self.config.max_position_embeddings} positions")
        return Cache(self._empty_layers(encoder_last_hidden_state, capacity), 0)

    def step(
        self,
        decoder_input_ids: Int[Tensor, "batch tgt"],
        cache: Cache,
        attention_mask: Int[Tensor, "batch src"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch capacity"] | None = None,
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
            attention_mask = decoder_input_ids.new_ones(batch, src)
        if decoder_attention_mask is None:
            decoder_attention_mask = decoder_input_ids.new_ones(batch, room)
        masks = (attention_mask, decoder_attention_mask, None, None)
        decoded, layers = self._decode(decoder_input_ids, cache.layers, cache.length, *masks)
        return decoded, Cache(layers, cache.length + tgt)

    def _empty_layers(
        self, encoder_last_hidden_state: Float[Tensor, "batch src d_model"], capacity: int
    ) -> tuple[LayerCache, ...]:
        with matmul_precision(self.precision):
            past = self.model.decoder.nothing_past(encoder_last_hidden_state)
        batch, heads, _, head_dim = past[0].cross.key.shape
        empty = past[0].cross.key.new_zeros(batch, heads, capacity, head_dim)
        return tuple(LayerCache(KeysValues(empty, empty), layer.cross) for layer in past)

    def _decode(
        self,
        decoder_input_ids: Int[Tensor, "batch tgt"],
        past: tuple[LayerCache, ...],
        start: int,
        attention_mask: Int[Tensor, "batch src"],
        decoder_attention_mask: Int[Tensor, "batch keys"],
        decoder_head_mask: Float[Tensor, "decoder_layers heads"] | None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers heads"] | None,
    ) -> tuple[DecoderOutput, tuple[LayerCache, ...]]:
        """The tokens from position ``start`` on, after what is kept of those before."""
        keep = causal_mask(decoder_attention_mask, start, decoder_input_ids.shape[1])
        masks = (keep, padding_mask(attention_mask), decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            embedded = self.model.shared(decoder_input_ids)
            layers, states, attentions, cross_attentions = self.model.decoder(embedded, past, start, *masks)
            return DecoderOutput(self.score(states[-1]), states, attentions, cross_attentions), layers

    def score(self, hidden: Float[Tensor, "batch tgt d_model"]) -> Float[Tensor, "batch tgt vocab"]:
        """The head: one logit per token of the vocabulary."""
        scores = self.model.shared.scores(hidden) if self.config.tie_word_embeddings else self.lm_head(hidden)
        return scores + self.final_logits_bias

    def forward(
        self,
        input_ids: Int[Tensor, "batch src"],
        attention_mask: Int[Tensor, "batch src"] | None = None,
        decoder_input_ids: Int[Tensor, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch tgt"] | None = None,
        head_mask: Float[Tensor, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
        labels: Int[Tensor, "batch tgt"] | None = None,
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
