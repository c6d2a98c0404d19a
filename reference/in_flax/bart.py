# Peer reference: reference/in_torch/bart.py
"""BART with its language-model head (Lewis et al. 2020, arXiv:1910.13461, section 2), for evaluation: no dropout."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Bool, Float, Int

from reference.config import BartConfig
from reference.in_flax.embeddings import LearnedPositions, TokenEmbedding
from reference.in_flax.masks import padding_mask
from reference.in_flax.model import Buffer, compiled
from reference.in_flax.normalisation import EPSILON, LayerNorm
from reference.in_flax.outputs import EncoderOutput
from reference.in_flax.precision import matmul_precision
from reference.in_flax.seq2seq import Seq2Seq, TextDecoder
from reference.in_flax.stacks import DecoderStack, EncoderStack


class BartEncoder(EncoderStack):
    """Position embeddings, a normalisation, and layers with bidirectional attention."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        super().__init__(config.stack("encoder"), attention, rngs)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model, rngs)
        self.layernorm_embedding = LayerNorm(config.d_model, EPSILON, rngs)

    def embed(self, embedded: Float[Array, "batch src d_model"]) -> Float[Array, "batch src d_model"]:
        """The input of the first layer, computed from the token embeddings."""
        return self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1]))

    def __call__(
        self,
        embedded: Float[Array, "batch src d_model"],
        keep: Bool[Array, "batch 1 1 src"],
        head_mask: Float[Array, "layers heads"] | None,
    ) -> EncoderOutput:
        """States and attentions of every layer."""
        return self.run(self.embed(embedded), keep, head_mask)


class BartDecoder(DecoderStack):
    """Position embeddings, a normalisation, and layers with causal attention."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs, cross: bool = True) -> None:
        super().__init__(config.stack("decoder", cross), attention, rngs)
        self.embed_positions = LearnedPositions(config.max_position_embeddings, config.d_model, rngs)
        self.layernorm_embedding = LayerNorm(config.d_model, EPSILON, rngs)

    def embed(
        self, embedded: Float[Array, "batch tgt d_model"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the first layer, computed from the token embeddings."""
        return self.layernorm_embedding(embedded + self.embed_positions(embedded.shape[1], position_offset))


class BartStacks(nnx.Module):
    """Encoder, decoder, and the token embedding that they share."""

    def __init__(self, config: BartConfig, attention: str, rngs: nnx.Rngs) -> None:
        self.shared = TokenEmbedding(config.vocab_size, config.d_model, config.scale_embedding, rngs)
        self.encoder = BartEncoder(config, attention, rngs)
        self.decoder = BartDecoder(config, attention, rngs)


class BareBart(Seq2Seq[BartConfig]):
    """BART without a head, as a base class for models with a head: ``score`` returns the hidden states unchanged.

    Both stacks are compiled, once per set of shapes. Parameters have Flax's names; ``loading`` converts them.

    Args:
        attention: ``eager`` (returns attention weights) or ``sdpa`` (the framework's fused kernel, returns none).
        precision: of float32 matrix products: ``highest``, or ``default`` for the framework's setting.
    """

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.precision = precision
        self.positions = config.max_position_embeddings
        self.pad, self.decoder_start_token_id = config.pad_token_id, config.decoder_start_token_id
        self.model = BartStacks(config, attention, rngs)

    @compiled
    def encode(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
    ) -> EncoderOutput:
        """Runs the encoder; without a mask, padding is attended to as well (BART page, ``attention_mask``)."""
        if attention_mask is None:
            attention_mask = jnp.ones_like(input_ids)
        with matmul_precision(self.precision):
            return self.model.encoder(self.model.shared(input_ids), padding_mask(attention_mask), head_mask)

    def embed_source(self, input_ids: Int[Array, "batch src"]) -> Float[Array, "batch src d_model"]:
        """The input of the encoder's first layer."""
        return self.model.encoder.embed(self.model.shared(input_ids))

    def layers(self) -> BartDecoder:
        """The decoder's layers."""
        return self.model.decoder

    def embed(
        self, ids: Int[Array, "batch tgt"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the decoder's first layer for tokens that start at position ``position_offset``."""
        return self.model.decoder.embed(self.model.shared(ids), position_offset)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt d_model"]:
        """Returns the states unchanged."""
        return hidden


class BartForConditionalGeneration(BareBart):
    """BART with a language-model head: the shared embedding, or its own matrix if ``tie_word_embeddings`` is false."""

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, attention, precision, rngs=rngs)
        self.final_logits_bias = Buffer(jnp.zeros((1, config.vocab_size)))
        if not config.tie_word_embeddings:
            self.lm_head = nnx.Linear(config.d_model, config.vocab_size, use_bias=False, rngs=rngs)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """Applies the head: one logit per token of the vocabulary."""
        scores = self.model.shared.scores(hidden) if self.config.tie_word_embeddings else self.lm_head(hidden)
        return scores + self.final_logits_bias


class BartForCausalLM(TextDecoder[BartConfig]):
    """The decoder alone with a language-model head without ``final_logits_bias``; used for mBART as well.

    Its layers always have cross-attention, which is skipped if no encoder states are passed.
    """

    labels_are_next = False

    def __init__(
        self, config: BartConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.precision = precision
        self.positions = config.max_position_embeddings
        self.words = TokenEmbedding(config.vocab_size, config.d_model, config.scale_embedding, rngs)
        self.decoder = BartDecoder(config, attention, rngs)
        self.output = (
            None
            if config.tie_word_embeddings
            else nnx.Linear(config.d_model, config.vocab_size, use_bias=False, rngs=rngs)
        )

    def layers(self) -> BartDecoder:
        """The layers between the embedding and the head."""
        return self.decoder

    def embed(
        self, ids: Int[Array, "batch tgt"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the first layer for tokens that start at position ``position_offset``."""
        return self.decoder.embed(self.words(ids), position_offset)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """Applies the head: one logit per token of the vocabulary."""
        return self.words.scores(hidden) if self.output is None else self.output(hidden)
