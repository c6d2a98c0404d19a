# Peer reference: reference/in_torch/bert.py
"""BERT, RoBERTa and bert-generation as encoders and as decoders.

Sources: Devlin et al. 2019, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; Rothe et al. 2020, arXiv:1907.12461.
Their layers are post-norm, as in BART. They differ in position numbering, token types, and the head.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jaxtyping import Float, Int

from reference.config import BertConfig
from reference.in_flax.activations import ACTIVATIONS
from reference.in_flax.embeddings import CountedPositions, LearnedPositions, TokenEmbedding
from reference.in_flax.encoder import Encoder
from reference.in_flax.masks import padding_mask
from reference.in_flax.model import compiled
from reference.in_flax.normalisation import LayerNorm
from reference.in_flax.outputs import EncoderOutput
from reference.in_flax.precision import matmul_precision
from reference.in_flax.seq2seq import TextDecoder
from reference.in_flax.stacks import DecoderStack, EncoderStack


class BertEmbeddings(nnx.Module):
    """The normalised sum of token, position and type embeddings (Devlin et al. 2019, figure 2)."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs) -> None:
        width = config.hidden_size
        kind = CountedPositions if config.model_type == "roberta" else LearnedPositions
        self.words = TokenEmbedding(config.vocab_size, width, False, rngs)
        self.positions = kind(config.positions, width, rngs, offset=config.first_position)
        self.types = TokenEmbedding(config.type_vocab_size, width, False, rngs) if config.type_vocab_size else None
        self.norm = LayerNorm(width, float(config.layer_norm_eps), rngs)

    def __call__(
        self,
        ids: Int[Array, "batch length"],
        position_offset: int | Int[Array, ""],
        types: Int[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch length d_model"]:
        """The input of the first layer; without ``types`` all tokens have type 0.

        Raises:
            ValueError: the sequence is longer than the position table.
        """
        if isinstance(self.positions, CountedPositions):
            positions = self.positions.of(ids, position_offset)
        else:
            positions = self.positions(ids.shape[1], position_offset)
        embedded = self.words(ids) + positions
        if self.types is not None:
            embedded = embedded + self.types(jnp.zeros_like(ids) if types is None else types)
        return self.norm(embedded)


class BertHead(nnx.Module):
    """From states to logits: BERT and RoBERTa apply an additional transformation, bert-generation does not."""

    def __init__(self, config: BertConfig, rngs: nnx.Rngs) -> None:
        width, vocab = config.hidden_size, config.vocab_size
        transforms = config.model_type != "bert-generation"
        # RoBERTa's head uses gelu regardless of hidden_act (transformers 4.57.6, modeling_roberta.py, RobertaLMHead).
        self.activation = ACTIVATIONS["gelu" if config.model_type == "roberta" else config.hidden_act]
        self.dense = nnx.Linear(width, width, rngs=rngs) if transforms else None
        self.norm = LayerNorm(width, float(config.layer_norm_eps), rngs) if transforms else None
        self.output = None if config.tie_word_embeddings else nnx.Linear(width, vocab, use_bias=False, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(vocab))

    def __call__(
        self, hidden: Float[Array, "batch tgt d_model"], words: TokenEmbedding
    ) -> Float[Array, "batch tgt vocab"]:
        """One logit per token; a head without its own matrix uses the embedding matrix."""
        if self.dense is not None and self.norm is not None:
            hidden = self.norm(self.activation(self.dense(hidden)))
        return (words.scores(hidden) if self.output is None else self.output(hidden)) + self.bias[...]


class BertEncoder(Encoder[BertConfig]):
    """The bare model without its pooler, whose output no decoder uses."""

    def __init__(
        self, config: BertConfig, attention: str = "eager", precision: str = "highest", *, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.precision = precision
        self.embeddings = BertEmbeddings(config, rngs)
        self.stack = EncoderStack(config.stack(), attention, rngs)

    def like(self) -> Array:
        """Any parameter of the model, for its dtype and device."""
        return self.embeddings.norm.scale[...]

    @compiled
    def encode(
        self,
        input_ids: Int[Array, "batch src"],
        attention_mask: Int[Array, "batch src"] | None = None,
        head_mask: Float[Array, "encoder_layers heads"] | None = None,
        token_type_ids: Int[Array, "batch src"] | None = None,
    ) -> EncoderOutput:
        """States and attentions of every layer; without a mask all tokens are attended to, including padding."""
        if attention_mask is None:
            attention_mask = jnp.ones_like(input_ids)
        with matmul_precision(self.precision):
            hidden = self.embeddings(input_ids, 0, token_type_ids)
            return self.stack.run(hidden, padding_mask(attention_mask), head_mask)

    def embed_source(self, input_ids: Int[Array, "batch src"]) -> Float[Array, "batch src d_model"]:
        """The input of the first layer for tokens of type 0."""
        return self.embeddings(input_ids, 0)


class BertDecoder(TextDecoder[BertConfig]):
    """The model with causal attention and a language-model head.

    Args:
        cross: whether layers have cross-attention; None for the value in the config.
    """

    def __init__(
        self,
        config: BertConfig,
        attention: str = "eager",
        precision: str = "highest",
        cross: bool | None = None,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.config = config
        self.precision = precision
        self.positions = config.positions
        self.embeddings = BertEmbeddings(config, rngs)
        self.stack = DecoderStack(config.stack(config.add_cross_attention if cross is None else cross), attention, rngs)
        self.head = BertHead(config, rngs)

    def layers(self) -> DecoderStack:
        """The layers between the embedding and the head."""
        return self.stack

    def embed(
        self, ids: Int[Array, "batch tgt"], position_offset: int | Int[Array, ""]
    ) -> Float[Array, "batch tgt d_model"]:
        """The input of the first layer for tokens that start at position ``position_offset``."""
        return self.embeddings(ids, position_offset)

    def score(self, hidden: Float[Array, "batch tgt d_model"]) -> Float[Array, "batch tgt vocab"]:
        """Applies the head: one logit per token of the vocabulary."""
        return self.head(hidden, self.embeddings.words)
