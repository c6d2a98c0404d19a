"""Mutants of embeddings: first position, scaling, rows that are read."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

SOURCE, TARGET = "encoder.hidden.0", "decoder.hidden.0"


@mutant(
    "position-offset-one",
    "positions begin one row early in the table",
    SOURCE,
    history="transformers #19240 asks where BART's two unused rows come from",
)
def position_offset(patch: Patches) -> None:
    patch(
        "embeddings:LearnedPositions.forward",
        lambda original: lambda self, length, start=0: self.weight[self.offset + start - 1 :][:length],
    )


@mutant("position-offset-none", "the two rows before position 0 are read as positions", SOURCE)
def position_offset_none(patch: Patches) -> None:
    patch(
        "embeddings:LearnedPositions.forward",
        lambda original: lambda self, length, start=0: self.weight[start : start + length],
    )


@mutant(
    "embedding-scale-lost",
    "tokens' vectors are not scaled though scale_embedding says so",
    SOURCE,
    history="transformers #31835: resizing the table lost its scale",
)
def scale_lost(patch: Patches) -> None:
    patch("embeddings:TokenEmbedding.forward", lambda original: lambda self, ids: self.weight[ids])


@mutant("decoder-scale-lost", "only the decoder forgets the scale of tokens' vectors", TARGET)
def decoder_scale_lost(patch: Patches) -> None:
    def make(original):
        return lambda self, ids, start: self.model.decoder.embed(self.model.shared.weight[ids], start)

    patch("bart:BareBart.embed", make)


@mutant("positions-scaled-too", "the scale of tokens' vectors is put on positions as well", SOURCE)
def positions_scaled(patch: Patches) -> None:
    def make(original):
        def embed(self, embedded):
            scale = embedded.shape[-1] ** 0.5
            return self.layernorm_embedding(embedded + scale * self.embed_positions(embedded.shape[1]))

        return embed

    patch("bart:BartEncoder.embed", make)


@mutant(
    "padding-row-zero",
    "the padding token's vector is zero, as in a table with padding_idx",
    SOURCE,
    history="torch.nn.Embedding(padding_idx=…) starts with such a row; a checkpoint's is not zero",
)
def padding_row_zero(patch: Patches) -> None:
    def make(original):
        return lambda self, ids: original(self, ids) * (ids != 1)[..., None]

    patch("embeddings:TokenEmbedding.forward", make)


@mutant("embedding-norm-skipped", "the decoder's first layer is given what was not normalised", TARGET)
def norm_skipped(patch: Patches) -> None:
    patch(
        "bart:BartDecoder.embed",
        lambda original: lambda self, embedded, start: embedded + self.embed_positions(embedded.shape[1], start),
    )


@mutant("last-position-shared", "the last position of a source is embedded as the one before it", SOURCE)
def last_position(patch: Patches) -> None:
    def make(original):
        def forward(self, length, start=0):
            found = original(self, length, start).clone()
            found[-1] = found[-2] if length > 1 else found[-1]
            return found

        return forward

    patch("embeddings:LearnedPositions.forward", make)
