"""Mutants of composing an encoder and a decoder."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

WIDTHS, ROBERTA, GPT2 = "bert2bert-widths", "roberta2roberta", "bert2gpt2"
CROSS = "decoder.cross_attention.0"


@mutant(
    "projection-skipped",
    "the encoder's states are truncated to the decoder's width instead of projected",
    CROSS,
    on=WIDTHS,
)
def projection_skipped(patch: Patches) -> None:
    def make(original):
        return lambda self, states: states[..., : self.enc_to_dec_proj.out_features]

    patch("encoder_decoder:EncoderDecoderModel.memory", make)


@mutant("projection-without-bias", "the projection of the encoder's states has no bias", "decoder.hidden.1", on=WIDTHS)
def projection_bias(patch: Patches) -> None:
    # A vector added to every state adds a constant to all scores of a query, which softmax cancels; the values change.
    patch(
        "encoder_decoder:EncoderDecoderModel.memory",
        lambda original: lambda self, states: original(self, states) - self.enc_to_dec_proj.bias,
    )


@mutant(
    "encoder-mask-not-passed",
    "the decoder does not receive the source's attention mask",
    CROSS,
    on=WIDTHS,
    history="transformers #1455, from the review of the first PreTrainedEncoderDecoder",
)
def mask_not_passed(patch: Patches) -> None:
    patch(
        "encoder_decoder:EncoderDecoderModel.source_mask",
        lambda original: lambda self, mask, states: original(self, None, states),
    )


@mutant("token-types-are-positions", "position ids are used as token type ids", "encoder.hidden.0", on=WIDTHS)
def types_are_positions(patch: Patches) -> None:
    def make(original):
        def forward(self, ids, start, types=None):
            import torch

            positions = torch.arange(start, start + ids.shape[1], device=ids.device).clamp(
                max=len(self.types.weight) - 1
            )
            return original(self, ids, start, positions.expand(ids.shape))

        return forward

    patch("bert:BertEmbeddings.forward", make)


@mutant("token-types-left-out", "token type embeddings are not added", "encoder.hidden.0", on=WIDTHS)
def types_left_out(patch: Patches) -> None:
    def make(original):
        def forward(self, ids, start, types=None):
            return self.norm(self.words(ids) + self.positions(ids.shape[1], start))

        return forward

    patch("bert:BertEmbeddings.forward", make)


@mutant("cross-attention-of-another-layer", "cross-attention keys and values of the layers are in reverse order", CROSS)
def other_layer(patch: Patches) -> None:
    patch("stacks:DecoderStack.nothing_past", lambda original: lambda self, memory: original(self, memory)[::-1])


@mutant(
    "encoder-state-before-last",
    "cross-attention uses the output of the encoder's last layer but one",
    "encoder.last",
    on=WIDTHS,
)
def before_last(patch: Patches) -> None:
    def make(original):
        def encode(self, *given):
            from dataclasses import replace

            found = original(self, *given)
            return replace(found, last_hidden_state=found.hidden_states[-2])

        return encode

    patch("encoder_decoder:EncoderDecoderModel.encode", make)


@mutant(
    "label-padding-seen",
    "with decoder inputs made from labels, padding is not masked",
    "decoder.attention.0",
    on=WIDTHS,
    history="transformers #25271",
)
def label_padding(patch: Patches) -> None:
    patch(
        "encoder_decoder:EncoderDecoderModel.shifted",
        lambda original: lambda self, *given: (original(self, *given)[0], None),
    )


@mutant("head-not-normalised", "the head's transformation omits layer normalisation", "logits", on=WIDTHS)
def head_not_normalised(patch: Patches) -> None:
    patch(
        "bert:BertHead.forward",
        lambda original: (
            lambda self, hidden, words: (
                words.scores(self.activation(self.dense(hidden))) + self.bias
                if self.output is None
                else self.output(self.activation(self.dense(hidden))) + self.bias
            )
        ),
    )


@mutant("head-bias-dropped", "the head's bias is not added", "logits", on=WIDTHS)
def head_bias(patch: Patches) -> None:
    patch("bert:BertHead.forward", lambda original: lambda self, *given: original(self, *given) - self.bias)


@mutant(
    "positions-count-padding",
    "RoBERTa's position ids count padding tokens",
    "encoder.hidden.0",
    on=ROBERTA,
    history="known issue hf-flax-composition-roberta-positions",
)
def positions_count(patch: Patches) -> None:
    def make(original):
        return lambda self, ids, start: self.weight[self.offset + start : self.offset + start + ids.shape[1]].expand(
            *ids.shape, -1
        )

    patch("embeddings:CountedPositions.of", make)


@mutant(
    "positions-from-zero",
    "RoBERTa's position ids start at 0 instead of after the padding row",
    "encoder.hidden.0",
    on=ROBERTA,
)
def positions_from_zero(patch: Patches) -> None:
    def make(original):
        def of(self, ids, start):
            counted = ids != self.offset - 1
            return self.weight[(counted.cumsum(dim=1) - 1 + start).clamp(min=0) * counted]

        return of

    patch("embeddings:CountedPositions.of", make)


@mutant("last-norm-skipped", "GPT-2's final layer normalisation is omitted", "decoder.hidden.2", on=GPT2)
def last_norm(patch: Patches) -> None:
    def make(original):
        def run(self, *given):
            norm, self.layer_norm = self.layer_norm, None
            try:
                return original(self, *given)
            finally:
                self.layer_norm = norm

        return run

    patch("stacks:DecoderStack.run", make)


@mutant(
    "cross-attention-left-out",
    "cross-attention of GPT-2's layers adds nothing",
    "decoder.cross_attention.0",
    "decoder.hidden.1",
    on=GPT2,
)
def cross_left_out(patch: Patches) -> None:
    def make(original):
        def __init__(self, *given):
            original(self, *given)
            self.encoder_attn.out_proj.register_forward_hook(lambda module, _, found: found * 0)

        return __init__

    patch("layers:DecoderLayer.__init__", make)
