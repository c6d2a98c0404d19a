"""Mutants of heads, which compute scores from states."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

LABELS, SPAN = "bart-labels", "bart-span"


def _scored(patch: Patches, compute) -> None:
    """Replaces BART's logits by ``compute`` of the model, its states and its conforming logits."""

    def make(original):
        return lambda self, hidden: compute(self, hidden, original(self, hidden))

    patch("bart:BartForConditionalGeneration.score", make)


@mutant(
    "logits-bias-dropped",
    "final_logits_bias is not added",
    "logits",
    history="transformers #9193: dropped when TensorFlow's model is resized",
)
def bias_dropped(patch: Patches) -> None:
    _scored(patch, lambda self, hidden, logits: logits - self.final_logits_bias)


@mutant("logits-bias-twice", "final_logits_bias is added twice", "logits")
def bias_twice(patch: Patches) -> None:
    _scored(patch, lambda self, hidden, logits: logits + self.final_logits_bias)


@mutant("head-scaled", "the tied head uses the table multiplied by the embedding scale", "logits")
def scaled(patch: Patches) -> None:
    _scored(
        patch, lambda self, hidden, logits: logits + (self.model.shared.scale - 1) * self.model.shared.scores(hidden)
    )


@mutant(
    "head-scaled-as-t5",
    "the tied head divides states by sqrt(d_model)",
    "logits",
    history="transformers' T5 scales where its table is tied; BART does not",
)
def scaled_as_t5(patch: Patches) -> None:
    _scored(
        patch,
        lambda self, hidden, logits: (
            self.model.shared.scores(hidden * hidden.shape[-1] ** -0.5) + self.final_logits_bias
        ),
    )


@mutant("head-untied", "the head has its own weight, whose last row is zero because it was not loaded", "logits")
def untied(patch: Patches) -> None:
    def compute(self, hidden, logits):
        found = logits.clone()
        found[..., -1] = self.final_logits_bias[0, -1]
        return found

    _scored(patch, compute)


@mutant("logits-in-float16", "logits are rounded to float16", "logits")
def logits_in_float16(patch: Patches) -> None:
    _scored(patch, lambda self, hidden, logits: logits.half().to(logits.dtype))


@mutant("tied-head-of-causal-scaled", "logits of the decoder-only model are divided by 2", "logits", on="bart-causal")
def causal_scaled(patch: Patches) -> None:
    patch("bart:BartForCausalLM.score", lambda original: lambda self, hidden: original(self, hidden) / 2)


@mutant(
    "classified-at-the-row-s-end",
    "a sequence is classified at the last column, even if that is padding",
    "logits",
    on=LABELS,
    history="transformers' decoder-only classifiers use the last column if no padding token is set",
)
def last_column(patch: Patches) -> None:
    patch("bart_heads:last_ends", lambda original: lambda ids, eos: original(ids, eos) * 0 + ids.shape[1] - 1)


@mutant("classified-at-the-start", "a sequence is classified at its first token, as in BERT", "logits", on=LABELS)
def first_column(patch: Patches) -> None:
    patch("bart_heads:last_ends", lambda original: lambda ids, eos: original(ids, eos) * 0)


@mutant("tanh-left-out", "the classification head omits tanh between its two layers", "logits", on=LABELS)
def tanh_left_out(patch: Patches) -> None:
    patch(
        "bart_heads:ClassificationHead.forward",
        lambda original: lambda self, hidden: self.out_proj(self.dense(hidden)),
    )


@mutant("start-and-end-swapped", "start and end logits of question answering are exchanged", "start_logits", on=SPAN)
def swapped(patch: Patches) -> None:
    def make(original):
        def __init__(self, *given):
            original(self, *given)
            self.qa_outputs.register_forward_hook(lambda module, _, found: found.flip(-1))

        return __init__

    patch("bart_heads:BartForQuestionAnswering.__init__", make)


@mutant("answer-loss-summed", "the losses of start and end positions are summed instead of averaged", "loss", on=SPAN)
def summed(patch: Patches) -> None:
    patch("bart_heads:position_loss", lambda original: lambda *given: 2 * original(*given))


@mutant(
    "answer-clamped", "an answer outside the text is clamped to the last position instead of ignored", "loss", on=SPAN
)
def clamped(patch: Patches) -> None:
    patch(
        "bart_heads:position_loss",
        lambda original: lambda logits, positions: original(logits, positions.clamp(0, logits.shape[1] - 1)),
    )
