# Peer reference: reference/in_flax/seq2seq.py
"""What decoders share, and what every encoder with a decoder behind it shares, whatever the families."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference.config.tokens import Tokens
from reference.in_torch.cache import Cache, KeysValues, LayerCache
from reference.in_torch.encoder import Encoder
from reference.in_torch.labels import cross_entropy, shift_right
from reference.in_torch.masks import causal_mask, padding_mask
from reference.in_torch.model import C, Model
from reference.in_torch.outputs import CausalOutput, DecoderOutput, Seq2SeqOutput
from reference.in_torch.precision import matmul_precision
from reference.in_torch.stacks import DecoderStack


class TextDecoder(Model[C]):
    """A decoder with a language-model head. A family says how tokens are embedded and how states are scored.

    Attributes:
        positions: how many tokens there are positions for.
        labels_are_next: whether the label of a position is the token after it, as the families whose labels are the
            inputs say; BART's causal model compares each position with its own label (transformers 4.57.6,
            modeling_bart.py, BartForCausalLM.forward).
    """

    positions: int
    labels_are_next = True

    def layers(self) -> DecoderStack:
        """The stack between embedding and head."""
        raise NotImplementedError

    def like(self) -> Tensor:
        """A parameter, for its dtype and device."""
        return self.layers().layers[0].fc1.weight

    def memory(self, encoder_last_hidden_state: Float[Tensor, "batch src _"]) -> Float[Tensor, "batch src d_model"]:
        """What cross-attention looks at: the encoder's last states, unless a family makes something of them."""
        return encoder_last_hidden_state

    def embed(self, ids: Int[Tensor, "batch tgt"], position_offset: int) -> Float[Tensor, "batch tgt d_model"]:
        """What the first layer is given for tokens from ``position_offset`` on."""
        raise NotImplementedError

    def score(self, hidden: Float[Tensor, "batch tgt d_model"]) -> Float[Tensor, "batch tgt vocab"]:
        """The head: one logit per token of the vocabulary."""
        raise NotImplementedError

    def decode(
        self,
        decoder_input_ids: Int[Tensor, "batch tgt"],
        encoder_last_hidden_state: Float[Tensor, "batch src _"] | None,
        attention_mask: Int[Tensor, "batch src"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch tgt"] | None = None,
        decoder_head_mask: Float[Tensor, "decoder_layers heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers heads"] | None = None,
    ) -> DecoderOutput:
        """The decoder and the head, given the encoder's last states, or None where there is no encoder.

        Without a ``decoder_attention_mask`` padding in ``decoder_input_ids`` is seen like any token. The BART page
        says that it is ignored; no class of transformers 4.57.6 does that, and no other position can tell when the
        padding is on the right.
        """
        if attention_mask is None and encoder_last_hidden_state is not None:
            attention_mask = decoder_input_ids.new_ones(encoder_last_hidden_state.shape[:2])
        if decoder_attention_mask is None:
            decoder_attention_mask = torch.ones_like(decoder_input_ids)
        masks = (attention_mask, decoder_attention_mask, decoder_head_mask, cross_attn_head_mask)
        return self._decode(decoder_input_ids, self._nothing_past(encoder_last_hidden_state), 0, *masks)[0]

    def start_cache(
        self, encoder_last_hidden_state: Float[Tensor, "batch src _"] | None, capacity: int, batch: int = 1
    ) -> Cache:
        """A cache with nothing written, for at most ``capacity`` tokens.

        Args:
            batch: rows, where no encoder's states say how many.

        Raises:
            ValueError: there are fewer positions than that.
        """
        if capacity > self.positions:
            raise ValueError(f"room for {capacity} tokens, but {self.positions} positions")
        return Cache(self._empty_layers(encoder_last_hidden_state, capacity, batch), 0)

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
        cross, room = cache.layers[0].cross, cache.capacity
        if cache.length + tgt > room:
            raise ValueError(f"{cache.length} tokens and {tgt} more, but room for {room}")
        if attention_mask is None and cross is not None:
            attention_mask = decoder_input_ids.new_ones(batch, cross.key.shape[2])
        if decoder_attention_mask is None:
            decoder_attention_mask = decoder_input_ids.new_ones(batch, room)
        masks = (attention_mask, decoder_attention_mask, None, None)
        decoded, layers = self._decode(decoder_input_ids, cache.layers, cache.length, *masks)
        return decoded, Cache(layers, cache.length + tgt)

    def _empty_layers(
        self, encoder_last_hidden_state: Float[Tensor, "batch src _"] | None, capacity: int, batch: int
    ) -> tuple[LayerCache, ...]:
        stack, past = self.layers(), self._nothing_past(encoder_last_hidden_state)
        rows = batch if encoder_last_hidden_state is None else len(encoder_last_hidden_state)
        head_dim = stack.shape.d_model // stack.shape.heads
        empty = stack.layers[0].fc1.weight.new_zeros(rows, stack.shape.heads, capacity, head_dim)
        return tuple(LayerCache(KeysValues(empty, empty), layer.cross) for layer in past)

    def _nothing_past(self, encoder_last_hidden_state: Float[Tensor, "batch src _"] | None) -> tuple[LayerCache, ...]:
        """Every layer's view of the encoder, if there is one, and nothing of its own."""
        with matmul_precision(self.precision):
            memory = None if encoder_last_hidden_state is None else self.memory(encoder_last_hidden_state)
            return self.layers().nothing_past(memory)

    def _decode(
        self,
        decoder_input_ids: Int[Tensor, "batch tgt"],
        past: tuple[LayerCache, ...],
        position_offset: int,
        attention_mask: Int[Tensor, "batch src"] | None,
        decoder_attention_mask: Int[Tensor, "batch keys"],
        decoder_head_mask: Float[Tensor, "decoder_layers heads"] | None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers heads"] | None,
    ) -> tuple[DecoderOutput, tuple[LayerCache, ...]]:
        """The tokens from ``position_offset`` on, after what is kept of those before."""
        keep = causal_mask(decoder_attention_mask, position_offset, decoder_input_ids.shape[1])
        memory_keep = None if attention_mask is None else padding_mask(attention_mask)
        masks = (keep, memory_keep, decoder_head_mask, cross_attn_head_mask)
        with matmul_precision(self.precision):
            embedded = self.embed(decoder_input_ids, position_offset)
            layers, states, attentions, cross_attentions = self.layers().run(embedded, past, position_offset, *masks)
            return DecoderOutput(self.score(states[-1]), states, attentions, cross_attentions), layers

    def forward(
        self,
        input_ids: Int[Tensor, "batch tgt"],
        attention_mask: Int[Tensor, "batch tgt"] | None = None,
        encoder_hidden_states: Float[Tensor, "batch src _"] | None = None,
        encoder_attention_mask: Int[Tensor, "batch src"] | None = None,
        head_mask: Float[Tensor, "layers heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "layers heads"] | None = None,
        labels: Int[Tensor, "batch tgt"] | None = None,
    ) -> CausalOutput:
        """The documented call of a decoder that stands alone (BART page, ``BartForCausalLM.forward``)."""
        masks = (encoder_attention_mask, attention_mask, head_mask, cross_attn_head_mask)
        decoded = self.decode(input_ids, encoder_hidden_states, *masks)
        loss, shift = None, int(self.labels_are_next)
        if labels is not None:
            loss = cross_entropy(decoded.logits[:, : labels.shape[1] - shift], labels[:, shift:])
        return CausalOutput(loss, decoded.logits, decoded.hidden_states, decoded.attentions, decoded.cross_attentions)


class Seq2Seq(Encoder[C], TextDecoder[C]):
    """An encoder before a decoder. A family says what the encoder is, besides what a decoder must say.

    Attributes:
        pad: what an ignored label becomes in the decoder's inputs.
        decoder_start_token_id: the first token of labels that are shifted right.
    """

    pad: Tokens
    decoder_start_token_id: Tokens

    def shifted(
        self,
        input_ids: Int[Tensor, "batch src"] | Float[Tensor, "batch samples"],
        labels: Int[Tensor, "batch tgt"] | None,
    ) -> tuple[Int[Tensor, "batch tgt"], Int[Tensor, "batch tgt"] | None]:
        """Decoder inputs where none are given, and which of them are seen if not all."""
        return shift_right(input_ids if labels is None else labels, self.pad, self.decoder_start_token_id), None

    # The documented call of the whole, whose arguments are others than a decoder's alone.
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Int[Tensor, "batch src"] | Float[Tensor, "batch samples"],
        attention_mask: Int[Tensor, "batch _"] | None = None,
        decoder_input_ids: Int[Tensor, "batch tgt"] | None = None,
        decoder_attention_mask: Int[Tensor, "batch tgt"] | None = None,
        head_mask: Float[Tensor, "encoder_layers encoder_heads"] | None = None,
        decoder_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
        cross_attn_head_mask: Float[Tensor, "decoder_layers decoder_heads"] | None = None,
        labels: Int[Tensor, "batch tgt"] | None = None,
        label_smoothing: float | Float[Tensor, ""] | None = None,
    ) -> Seq2SeqOutput:
        """The documented call (BART page, ``BartForConditionalGeneration.forward``).

        Masks hold 1 for what is kept and 0 for what is hidden or silenced. Where no ``decoder_input_ids`` are given
        they are the labels shifted right, or ``input_ids`` shifted right where there are no labels either.
        ``label_smoothing`` is no documented argument of the call; trainers have it (``labels.cross_entropy``).

        Raises:
            ValueError: a sequence is longer than the positions, or a head mask is for another number of layers.
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
