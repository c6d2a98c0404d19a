"""Attention: rows are probabilities, masked keys get nothing, a silenced head is silent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.core.tensors import TensorSpec
from parity.judge.checks.invariance import row_lengths
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, whole
from parity.judge.results import Comparison, Finding, Result
from parity.judge.tolerance import UNIT_ROUNDOFF

_ATTENTIONS = "BART page, encoder_attentions, decoder_attentions, cross_attentions: weights after the softmax"
_KINDS = ("attention", "cross-attention")


def _returned(evidence: Evidence) -> Iterator[tuple[TensorSpec, np.ndarray | None]]:
    for spec in evidence.expected_tensors():
        if spec.kind in _KINDS:
            yield spec, evidence.trace.arrays.get(spec.name)


@check(
    "ATTN01",
    claim="attention probabilities of every query sum to one",
    source=_ATTENTIONS,
    likely_cause="dropout left on, weights returned before the softmax, or a softmax over the wrong axis",
    cases=("forward",),
    requires=("attentions",),
    needs_oracle=False,
)
def rows_sum_to_one(evidence: Evidence) -> Iterator[Result]:
    """The bound is that of rounding n probabilities and their normaliser: (n + 4) unit roundoffs (Higham 2002, 3.1)."""
    for spec, weights in _returned(evidence):
        if weights is None:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        error = np.abs(weights.astype(np.float64).sum(axis=-1) - 1.0)
        error[~np.isfinite(error)] = np.inf
        at = np.unravel_index(int(error.argmax()), error.shape)
        limit = (weights.shape[-1] + 4) * UNIT_ROUNDOFF[evidence.subject.dtype]
        place = dict(zip(spec.axes, map(int, at), strict=False))
        yield Comparison(spec.name, float(error[at]), limit, "element", place)


@check(
    "ATTN02",
    claim="masked keys get no attention at all: padding of the source, padding of the target, and the future",
    source="BART page, attention_mask and decoder_attention_mask; Vaswani et al. 2017, section 3.2.3",
    likely_cause="a mask added with too small a number, with the wrong sign, or not handed to the cross-attention",
    cases=("forward",),
    requires=("attentions",),
    needs_oracle=False,
)
def masked_keys_get_nothing(evidence: Evidence) -> Iterator[Result]:
    """Exactly zero: the smallest finite number added to a score underflows in the softmax."""
    unseen = _masked_keys(evidence)
    masked_target = {"decoder_attention_mask"} & set(evidence.case.inputs) or evidence.model_spec.decoder_only
    for spec, weights in _returned(evidence):
        if weights is None:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        axis = spec.axes[-1]
        masked = np.broadcast_to(unseen[axis][:, None, None, :], weights.shape)
        if axis == "tgt":
            future = np.triu(np.ones(weights.shape[-2:], bool), 1)
            masked = (masked & bool(masked_target)) | future
        leaked = np.argwhere(masked & (weights != 0.0))
        at = dict(zip(spec.axes, leaked[0].tolist(), strict=False)) if len(leaked) else {}
        count = f"{len(leaked)} masked keys of {spec.name} are attended to"
        yield Finding(not len(leaked), count, spec.name, {"at": at} if at else {})


def _masked_keys(evidence: Evidence) -> dict[str, np.ndarray]:
    """By axis of keys, which of them are padding, wherever it stands: bool ``[batch, length]``."""
    case, model_spec = evidence.case, evidence.model_spec
    source = case.array("encoder_attention_mask" if model_spec.decoder_only else "attention_mask")
    given = "attention_mask" if model_spec.decoder_only else "decoder_attention_mask"
    target = case.array(given) if given in case.inputs else source
    if model_spec.speech is None:
        return {"src": source == 0, "tgt": target == 0}
    # Of audio what is masked are frames, which end where a row's samples do.
    rows = list(row_lengths(evidence))
    ends = {axis: np.array([lengths[axis] for lengths in rows]) for axis in ("src", "frames")}
    widths = {"src": model_spec.frames(source.shape[1]), "frames": model_spec.frames(source.shape[1], adapted=False)}
    return {"tgt": target == 0} | {axis: np.arange(widths[axis]) >= end[:, None] for axis, end in ends.items()}


@check(
    "HEAD01",
    claim="a head whose mask is 0 contributes nothing, and all tensors are within tolerance of the oracle's",
    source="BART page, head_mask, decoder_head_mask, cross_attn_head_mask: 0 nullifies the head",
    likely_cause="an attention implementation that takes the mask and ignores it",
    cases=("forward.head-masks",),
    also=("forward",),
    requires=("head_masks",),
)
def silenced_head_is_silent(evidence: Evidence) -> Iterator[Result]:
    """A backend that ignores the mask gives the answer of the pass without one."""
    yield from evidence.against_oracle()
    yield evidence.changed(evidence.answer, "forward.head-masks", "forward", whole)
