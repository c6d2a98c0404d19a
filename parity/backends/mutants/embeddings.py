"""Mutants of embeddings: first position, scaling, rows that are read."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

SOURCE, TARGET = "encoder.hidden.0", "decoder.hidden.0"


@mutant(
    "position-offset-one",
    "position embeddings are read one row too early",
    SOURCE,
    history="transformers #19240: BART's position table starts with two unused rows",
)
def position_offset(patch: Patches) -> None:
    patch(
        "embeddings:LearnedPositions.forward",
        lambda original: lambda self, length, start=0: self.weight[self.offset + start - 1 :][:length],
    )


@mutant("position-offset-none", "position embeddings are read from row 0 instead of row 2", SOURCE)
def position_offset_none(patch: Patches) -> None:
    patch(
        "embeddings:LearnedPositions.forward",
        lambda original: lambda self, length, start=0: self.weight[start : start + length],
    )


@mutant(
    "embedding-scale-lost",
    "token embeddings are not scaled although scale_embedding is true",
    SOURCE,
    history="transformers #31835: resizing the embedding dropped its scale",
)
def scale_lost(patch: Patches) -> None:
    patch("embeddings:TokenEmbedding.forward", lambda original: lambda self, ids: self.weight[ids])


@mutant("decoder-scale-lost", "token embeddings are not scaled in the decoder only", TARGET)
def decoder_scale_lost(patch: Patches) -> None:
    def make(original):
        return lambda self, ids, start: self.model.decoder.embed(self.model.shared.weight[ids], start)

    patch("bart:BareBart.embed", make)


@mutant("positions-scaled-too", "position embeddings are scaled as well", SOURCE)
def positions_scaled(patch: Patches) -> None:
    def make(original):
        def embed(self, embedded):
            scale = embedded.shape[-1] ** 0.5
            return self.layernorm_embedding(embedded + scale * self.embed_positions(embedded.shape[1]))

        return embed

    patch("bart:BartEncoder.embed", make)


@mutant(
    "padding-row-zero",
    "the padding token's embedding is zero, as in a table with padding_idx",
    SOURCE,
    history="torch.nn.Embedding(padding_idx=…) starts with such a row; a checkpoint's is not zero",
)
def padding_row_zero(patch: Patches) -> None:
    def make(original):
        return lambda self, ids: original(self, ids) * (ids != 1)[..., None]

    patch("embeddings:TokenEmbedding.forward", make)


@mutant("embedding-norm-skipped", "layer normalisation of the decoder's embeddings is omitted", TARGET)
def norm_skipped(patch: Patches) -> None:
    patch(
        "bart:BartDecoder.embed",
        lambda original: lambda self, embedded, start: embedded + self.embed_positions(embedded.shape[1], start),
    )


@mutant("last-position-shared", "the last position of a source has the position embedding of the one before", SOURCE)
def last_position(patch: Patches) -> None:
    def make(original):
        def forward(self, length, start=0):
            found = original(self, length, start).clone()
            found[-1] = found[-2] if length > 1 else found[-1]
            return found

        return forward

    patch("embeddings:LearnedPositions.forward", make)
