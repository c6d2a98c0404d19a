"""Numbers: every tensor of a pass is within tolerance of the float64 oracle."""

from __future__ import annotations

from collections.abc import Iterator

from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.results import Result

_PASSES = ("forward", "forward.single-row", "forward.defaults", "forward.no-encoder", "loss")
_PAPER = "Lewis et al. 2019 (BART), section 2.1, and Vaswani et al. 2017, section 3; BART page, Seq2SeqLMOutput"


@check(
    "NUM01",
    claim="hidden states of the encoder and the decoder are within tolerance of the float64 oracle, layer by layer",
    source=_PAPER,
    likely_cause="the operation named by the first divergent tensor: positions or scale at hidden.0, otherwise "
    "that layer",
    cases=_PASSES,
    kinds=("hidden",),
    requires=("hidden_states",),
)
def hidden_states(evidence: Evidence) -> Iterator[Result]:
    """The first layer out of tolerance, while its inputs are inside, holds the fault."""
    yield from evidence.against_oracle("hidden")


@check(
    "NUM02",
    claim="attention probabilities of the encoder and the decoder are within tolerance of the float64 oracle",
    source=_PAPER,
    likely_cause="the scale of the queries, a mask, or heads split in another order",
    cases=_PASSES,
    kinds=("attention",),
    requires=("attentions",),
)
def attentions(evidence: Evidence) -> Iterator[Result]:
    """Attention is compared after the softmax, where an unscaled score shows at once."""
    yield from evidence.against_oracle("attention")


@check(
    "NUM03",
    claim="cross-attention probabilities are within tolerance of the float64 oracle",
    source=_PAPER,
    likely_cause="the padding mask of the source is not handed to the decoder, or its keys come from another layer",
    cases=_PASSES,
    kinds=("cross-attention",),
    requires=("attentions",),
)
def cross_attentions(evidence: Evidence) -> Iterator[Result]:
    """The rows are decoder positions, the columns source positions."""
    yield from evidence.against_oracle("cross-attention")


@check(
    "NUM04",
    claim="logits are within tolerance of the float64 oracle",
    source=_PAPER,
    likely_cause="a final_logits_bias that was dropped, another output table, or a fault in an earlier layer",
    cases=_PASSES,
    kinds=("logits",),
)
def logits(evidence: Evidence) -> Iterator[Result]:
    """The last states may be right and the head still wrong."""
    yield from evidence.against_oracle("logits")


@check(
    "LAYER01",
    claim="every layer, given the oracle's own states, makes of them what the oracle makes, within tolerance",
    source="definition: a layer is a function of its input, the masks and, in a decoder, the encoder's last states",
    likely_cause="the layer named: its attention, norm, activation or mask; an error elsewhere cannot reach it",
    cases=("each-layer",),
    requires=("encode_decode", "layerwise"),
)
def layers_alone(evidence: Evidence) -> Iterator[Result]:
    """Asked for with ``--layerwise``. What a layer is given is not judged here: only what it makes."""
    given = ("encoder.hidden.0", "decoder.hidden.0", "encoder.last")
    yield from (result for result in evidence.against_oracle("hidden", "logits") if result.tensor not in given)


@check(
    "GRAD01",
    claim="gradients of the loss by every trainable parameter are within tolerance of the float64 oracle, "
    "where defined",
    source="definition of the gradient; BART page, labels: the loss is meant to be trained on",
    likely_cause="a parameter cut off from the loss, a row left out, or a tied table counted once",
    cases=("gradients",),
    requires=("gradients",),
)
def gradients(evidence: Evidence) -> Iterator[Result]:
    """Gradients run against the data flow, so the first divergent one stands nearest to the loss.

    Of a model with ReLU only those before the last ReLU are claimed (``parity.core.tensors.gradient_tensors``).
    """
    yield from evidence.against_oracle("gradient")
