# Peer reference: reference/in_torch/encoder_decoder.py
"""Encoder-decoder models composed of two architectures (Rothe et al. 2020, arXiv:1907.12461, section 2)."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax import Array
from jaxtyping import Float, Int

from reference.config import BartConfig, BertConfig, EncoderDecoderConfig, SpeechConfig
from reference.config.tokens import Tokens, only
from reference.in_flax.bart import BartForCausalLM
from reference.in_flax.bert import BertDecoder, BertEncoder
from reference.in_flax.encoder import Encoder
from reference.in_flax.gpt2 import Gpt2Decoder
from reference.in_flax.labels import shift_right
from reference.in_flax.outputs import EncoderOutput, Seq2SeqOutput
from reference.in_flax.seq2seq import Seq2Seq, TextDecoder
from reference.in_flax.speech import SpeechEncoder
from reference.in_flax.stacks import DecoderStack


def decoder_of(config: EncoderDecoderConfig, attention: str, precision: str, rngs: nnx.Rngs) -> TextDecoder:
    """The decoder of a composition, of any supported architecture, with cross-attention."""
    if isinstance(config.decoder, BartConfig):
        return BartForCausalLM(config.decoder, attention, precision, rngs=rngs)
    if isinstance(config.decoder, BertConfig):
        return BertDecoder(config.decoder, attention, precision, True, rngs=rngs)
    return Gpt2Decoder(config.decoder, attention, precision, True, rngs=rngs)


class EncoderDecoderModel(Seq2Seq[EncoderDecoderConfig]):
    """Two text models. If their widths differ, the encoder's last states are projected to the decoder's width."""

    def __init__(
        self, config: EncoderDecoderConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.precision = precision
        self.pad, self.decoder_start_token_id = config.pad_token_id, config.decoder_start_token_id
        self.encoder = self.encoder_of(attention, rngs)
        self.decoder = decoder_of(config, attention, precision, rngs)
        self.positions = self.decoder.positions
        sizes = (config.encoder.d_model, config.decoder.d_model)
        self.enc_to_dec_proj = nnx.Linear(*sizes, rngs=rngs) if config.projects else None

    def encoder_of(self, attention: str, rngs: nnx.Rngs) -> Encoder:
        """A text or speech encoder without weights."""
        if isinstance(self.config.encoder, SpeechConfig):
            return SpeechEncoder(self.config.encoder, attention, self.precision, rngs=rngs)
        return BertEncoder(self.config.encoder, attention, self.precision, rngs=rngs)

    def encode(
        self,
        input_ids: Int[Array, "batch src"] | Float[Array, "batch samples"],
        attention_mask: Int[Array, "batch _"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """Runs the encoder; states have the encoder's width."""
        return self.encoder.encode(input_ids, attention_mask, head_mask)

    def source_mask(
        self, attention_mask: Int[Array, "batch _"] | None, encoder_last_hidden_state: Float[Array, "batch src _"]
    ) -> Int[Array, "batch src"]:
        """The encoder's mask of non-padding states."""
        return self.encoder.source_mask(attention_mask, encoder_last_hidden_state)

    def memory(self, encoder_last_hidden_state: Float[Array, "batch src _"]) -> Float[Array, "batch src d_model"]:
        """The encoder's last states, projected to the decoder's width."""
        if self.enc_to_dec_proj is None:
            return encoder_last_hidden_state
        return self.enc_to_dec_proj(encoder_last_hidden_state)

    def shifted(
        self,
        input_ids: Int[Array, "batch src"] | Float[Array, "batch samples"],
        labels: Int[Array, "batch tgt"] | None,
    ) -> tuple[Int[Array, "batch tgt"], Int[Array, "batch tgt"] | None]:
        """The labels shifted right, with padding masked (encoder-decoder page, ``decoder_attention_mask``).

        Raises:
            ValueError: there are no labels, or the config has no padding or start token to shift them with.
        """
        decoder_input_ids = shifted_labels(labels, self.pad, self.decoder_start_token_id)
        seen = decoder_input_ids != only(self.pad, "pad_token_id", "padding cannot be masked")
        return decoder_input_ids, seen.astype(decoder_input_ids.dtype)

    def layers(self) -> DecoderStack:
        """The decoder's layers."""
        return self.decoder.layers()

    def embed(
        self, ids: Int[Array, "batch tgt"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the decoder's first layer for tokens that start at position ``position_offset``."""
        return self.decoder.embed(ids, position_offset)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """Applies the decoder's head."""
        return self.decoder.score(hidden)


class SpeechEncoderDecoderModel(EncoderDecoderModel):
    """Speech to text (speech-encoder-decoder page); the encoder's mask is over samples, the decoder's over states."""

    main_input = "input_values"

    def shifted(
        self,
        input_ids: Int[Array, "batch src"] | Float[Array, "batch samples"],
        labels: Int[Array, "batch tgt"] | None,
    ) -> tuple[Int[Array, "batch tgt"], None]:
        """The labels shifted right; padding in them is attended to, which the page does not document.

        Source: transformers 4.57.6, modeling_speech_encoder_decoder.py, SpeechEncoderDecoderModel.forward.

        Raises:
            ValueError: there are no labels, or the config has no padding or start token to shift them with.
        """
        return shifted_labels(labels, self.pad, self.decoder_start_token_id), None

    # The documented call uses a different name for the input.
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_values: Float[Array, "batch samples"] | None = None,
        attention_mask: Int[Array, "batch samples"] | None = None,
        *others: Array | None,
        input_features: Float[Array, "batch samples"] | None = None,
        **named: Any,
    ) -> Seq2SeqOutput:
        """The documented call; other arguments and errors as in ``Seq2Seq``.

        Raises:
            ValueError: both names of the input are passed, or neither.
        """
        inputs = input_features if input_values is None else input_values
        if inputs is None or (input_values is None) == (input_features is None):
            raise ValueError("pass either input_values or input_features")
        return super().__call__(inputs, attention_mask, *others, **named)


def shifted_labels(labels: Int[Array, "batch tgt"] | None, pad: Tokens, decoder_start_token_id: Tokens) -> Array:
    """The labels shifted right, after the inputs are validated.

    Raises:
        ValueError: there are no labels, or the config has no padding or start token.
    """
    if labels is None:
        raise ValueError("neither decoder_input_ids nor labels are given")
    return shift_right(labels, pad, decoder_start_token_id)
