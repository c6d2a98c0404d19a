"""Mutants of labels and losses: shifting, counting, averaging."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

SHIFT, LOSS = "seq2seq:shift_right", "seq2seq:cross_entropy"
FED = "decoder.hidden.0"


@mutant("labels-not-shifted", "decoder inputs are the labels without a shift", FED)
def not_shifted(patch: Patches) -> None:
    patch(SHIFT, lambda original: lambda tokens, pad, start: tokens.masked_fill(tokens < 0, pad))


@mutant("labels-shifted-twice", "decoder inputs are the labels shifted by two", FED)
def shifted_twice(patch: Patches) -> None:
    patch(SHIFT, lambda original: lambda tokens, pad, start: original(original(tokens, pad, start), pad, start))


@mutant("labels-shifted-from-padding", "decoder inputs start with the padding token instead of the start token", FED)
def from_padding(patch: Patches) -> None:
    patch(SHIFT, lambda original: lambda tokens, pad, start: original(tokens, pad, pad))


@mutant(
    "labels-wrapped",
    "decoder inputs start with the last token of the labels, as in mBART",
    FED,
    history="transformers #7112 and #14139: the shift differs between model families",
)
def wrapped(patch: Patches) -> None:
    def make(original):
        def shift_right(tokens, pad, start):
            shifted = original(tokens, pad, start).clone()
            is_token = tokens.masked_fill(tokens < 0, pad) != pad
            last = (is_token.sum(1) - 1).clamp(min=0)
            shifted[:, 0] = tokens.masked_fill(tokens < 0, pad).gather(1, last[:, None])[:, 0]
            return shifted

        return shift_right

    patch(SHIFT, make)


@mutant("ignored-labels-fed-as-0", "a label of -100 becomes token 0 in the decoder inputs instead of padding", FED)
def ignored_fed(patch: Patches) -> None:
    patch(SHIFT, lambda original: lambda tokens, pad, start: original(tokens, 0, start))


@mutant("ignored-labels-counted", "a label of -100 is counted in the loss, as token 0", "loss")
def ignored_counted(patch: Patches) -> None:
    patch(LOSS, lambda original: lambda logits, labels, *more: original(logits, labels.clamp(min=0), *more))


@mutant(
    "padding-ignored-too",
    "labels that are the padding token are ignored in the loss",
    "loss",
    history="TensorFlow's BART: modeling_tf_bart.py, TFBartForConditionalGeneration.call",
)
def padding_ignored(patch: Patches) -> None:
    patch(
        LOSS,
        lambda original: lambda logits, labels, *more: original(logits, labels.masked_fill(labels == 1, -100), *more),
    )


@mutant("mean-over-all-positions", "the loss is averaged over all positions, including ignored ones", "loss")
def over_all(patch: Patches) -> None:
    def make(original):
        return lambda logits, labels, *more: original(logits, labels, *more) * (labels >= 0).sum() / labels.numel()

    patch(LOSS, make)


@mutant(
    "mean-of-rows",
    "the loss is averaged per row, then over rows",
    "loss",
    history="gradient accumulation over rows of different lengths before transformers 4.46",
)
def of_rows(patch: Patches) -> None:
    def make(original):
        def cross_entropy(logits, labels, *more):
            rows = [original(logits[row : row + 1], labels[row : row + 1], *more) for row in range(len(labels))]
            counted = [row for row, has_label in zip(rows, (labels >= 0).any(1), strict=True) if has_label]
            return sum(counted) / len(counted) if counted else rows[0]

        return cross_entropy

    patch(LOSS, make)


@mutant("loss-summed", "the loss is a sum instead of a mean", "loss")
def summed(patch: Patches) -> None:
    patch(LOSS, lambda original: lambda logits, labels, *more: original(logits, labels, *more) * (labels >= 0).sum())


@mutant("label-smoothing-left-on", "label smoothing of 0.1 is applied", "loss")
def smoothing(patch: Patches) -> None:
    patch(LOSS, lambda original: lambda logits, labels, *more: original(logits, labels, 0.1))


@mutant("label-smoothing-a-thousandth", "label smoothing of 0.001 is applied", "loss")
def little_smoothing(patch: Patches) -> None:
    patch(LOSS, lambda original: lambda logits, labels, *more: original(logits, labels, 0.001))


@mutant(
    "no-labels-no-loss",
    "the loss of a batch with only ignored labels is 0 instead of NaN",
    "loss",
    history="a denominator of at least 1, as in transformers' TensorFlow losses",
)
def guarded(patch: Patches) -> None:
    patch(LOSS, lambda original: lambda *given: original(*given).nan_to_num(0.0))


@mutant(
    "causal-labels-shifted",
    "the decoder-only BART compares each position with the next label",
    "loss",
    on="bart-causal",
    history="transformers #14139: BERT's and GPT-2's do, BART's does not",
)
def causal_shifted(patch: Patches) -> None:
    patch("bart:BartForCausalLM.labels_are_next", lambda original: True)


@mutant(
    "gradient-of-a-table-halved",
    "the shared embedding's gradient has only the head's contribution",
    "gradient.model.shared.weight",
)
def gradient_halved(patch: Patches) -> None:
    def make(original):
        return lambda self, ids: (original(self, ids)).detach()

    patch("embeddings:TokenEmbedding.forward", make)
