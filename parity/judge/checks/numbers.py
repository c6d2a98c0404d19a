"""Numbers: every tensor of a forward pass, and every gradient, is within tolerance of the float64 oracle."""

from __future__ import annotations

from collections.abc import Iterator

from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.results import Result

_PASSES = (
    "forward",
    "forward.single-row",
    "forward.defaults",
    "forward.no-encoder",
    "forward.own-decoder-inputs",
    "loss",
)
_PAPER = "Lewis et al. 2019 (BART), section 2.1, and Vaswani et al. 2017, section 3; BART page, Seq2SeqLMOutput"


@check(
    "NUM01",
    claim="hidden states of the encoder and the decoder are within tolerance of the float64 oracle, layer by layer",
    source=_PAPER,
    likely_cause="the operation before the first divergent tensor: positions or scale at hidden.0, otherwise that "
    "layer",
    cases=_PASSES,
    kinds=("hidden",),
    requires=("hidden_states",),
)
def hidden_states(evidence: Evidence) -> Iterator[Result]:
    """The fault is in the first layer that is out of tolerance while its inputs are within tolerance."""
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
    """Attention is compared after the softmax, where an unscaled score is visible immediately."""
    yield from evidence.against_oracle("attention")


@check(
    "NUM03",
    claim="cross-attention probabilities are within tolerance of the float64 oracle",
    source=_PAPER,
    likely_cause="the source padding mask is not passed to the decoder, or its keys come from another layer",
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
    """The head may be wrong although the last hidden states are right."""
    yield from evidence.against_oracle("logits")


@check(
    "LAYER01",
    claim="every layer, run on the oracle's input states, returns the oracle's output states within tolerance",
    source="definition: a layer is a function of its input, the masks and, in a decoder, the encoder's last states",
    likely_cause="the named layer: its attention, norm, activation or mask; errors of other layers cannot reach it",
    cases=("each-layer",),
    requires=("encode_decode", "layerwise"),
)
def layers_alone(evidence: Evidence) -> Iterator[Result]:
    """Runs with ``--layerwise`` only. The input states of the layers are not judged."""
    given = ("encoder.hidden.0", "decoder.hidden.0", "encoder.last")
    yield from (result for result in evidence.against_oracle("hidden", "logits") if result.tensor not in given)


@check(
    "GRAD01",
    claim="gradients of the loss with respect to every trainable parameter are within tolerance of the float64 oracle, "
    "where they are defined",
    source="definition of the gradient; BART page, labels: the loss is used for training",
    likely_cause="a parameter detached from the loss, a row left out, or a tied table counted once",
    cases=("gradients",),
    requires=("gradients",),
)
def gradients(evidence: Evidence) -> Iterator[Result]:
    """Gradients are ordered against the data flow: the first divergent one is the nearest to the loss.

    For a model with ReLU only the gradients between the last ReLU and the loss are compared
    (``parity.core.tensors.gradient_tensors``).
    """
    yield from evidence.against_oracle("gradient")
