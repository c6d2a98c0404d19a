# Peer reference: reference/in_flax/gpt2.py
"""GPT-2 as a decoder, with or without cross-attention (Radford et al. 2019, section 2.3): pre-norm."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from reference.config import Gpt2Config
from reference.in_torch.embeddings import LearnedPositions, TokenEmbedding
from reference.in_torch.seq2seq import TextDecoder
from reference.in_torch.stacks import DecoderStack


class Gpt2Decoder(TextDecoder[Gpt2Config]):
    """``cross``: whether layers have cross-attention after self-attention; None for the value in the config."""

    def __init__(
        self, config: Gpt2Config, attention: str = "eager", precision: str = "highest", cross: bool | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.precision = precision
        self.words = TokenEmbedding(config.vocab_size, config.n_embd, False)
        self.positions_table = LearnedPositions(config.n_positions, config.n_embd, offset=0)
        self.positions = config.n_positions
        self.stack = DecoderStack(config.stack(config.add_cross_attention if cross is None else cross), attention)
        self.output = None if config.tie_word_embeddings else nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def layers(self) -> DecoderStack:
        """The layers between the embedding and the head."""
        return self.stack

    def embed(self, ids: Int[Tensor, "batch tgt"], position_offset: int) -> Float[Tensor, "batch tgt d_model"]:
        """The input of the first layer for tokens that start at position ``position_offset``."""
        return self.words(ids) + self.positions_table(ids.shape[1], position_offset)

    def score(self, hidden: Float[Tensor, "batch tgt d_model"]) -> Float[Tensor, "batch tgt vocab"]:
        """Applies the head: one logit per token of the vocabulary."""
        return self.words.scores(hidden) if self.output is None else self.output(hidden)
