"""Attention: rows sum to one, masked keys have weight zero, and masked heads contribute nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.core.tensors import TensorSpec
from parity.judge.checks.invariance import row_lengths
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, whole
from parity.judge.other_values import explained
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
    """The bound covers the rounding of n probabilities and their normaliser: (n + 4) unit roundoffs (Higham 2002,
    3.1)."""
    for spec, weights in _returned(evidence):
        if weights is None:
            yield Finding(False, f"{spec.name} was not returned", spec.name)
            continue
        error = np.abs(weights.astype(np.float64).sum(axis=-1) - 1.0)
        error[~np.isfinite(error)] = np.inf
        at = np.unravel_index(int(error.argmax()), error.shape)
        limit = (weights.shape[-1] + 4) * UNIT_ROUNDOFF[evidence.subject.dtype]
        index = dict(zip(spec.axes, map(int, at), strict=False))
        yield Comparison(spec.name, float(error[at]), limit, "element", index)


@check(
    "ATTN02",
    claim="masked keys have attention weight zero: source padding, target padding and future positions",
    source="BART page, attention_mask and decoder_attention_mask; Vaswani et al. 2017, section 3.2.3",
    likely_cause="a mask with too small a bias, with the wrong sign, or not passed to the cross-attention",
    cases=("forward",),
    requires=("attentions",),
    needs_oracle=False,
)
def masked_keys_have_no_weight(evidence: Evidence) -> Iterator[Result]:
    """The weight must be exactly zero: a score plus the lowest finite number underflows in the softmax."""
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
        count = f"{len(leaked)} masked keys of {spec.name} have non-zero attention weight"
        yield Finding(not len(leaked), count, spec.name, {"at": at} if at else {})


def _masked_keys(evidence: Evidence) -> dict[str, np.ndarray]:
    """For each key axis, the padded positions: bool ``[batch, length]``."""
    case, model_spec = evidence.case, evidence.model_spec
    source = case.array("encoder_attention_mask" if model_spec.decoder_only else "attention_mask")
    given = "attention_mask" if model_spec.decoder_only else "decoder_attention_mask"
    target = case.array(given) if given in case.inputs else source
    if model_spec.speech is None:
        return {"src": source == 0, "tgt": target == 0}
    # For audio the mask is over frames: the frames of a row end with its samples.
    rows = list(row_lengths(evidence))
    ends = {axis: np.array([lengths[axis] for lengths in rows]) for axis in ("src", "frames")}
    widths = {"src": model_spec.frames(source.shape[1]), "frames": model_spec.frames(source.shape[1], adapted=False)}
    return {"tgt": target == 0} | {axis: np.arange(widths[axis]) >= end[:, None] for axis, end in ends.items()}


@check(
    "HEAD01",
    claim="a head whose mask is 0 contributes nothing, and all tensors are within tolerance of the float64 oracle",
    source="BART page, head_mask, decoder_head_mask, cross_attn_head_mask: 0 nullifies the head",
    likely_cause="an attention implementation that accepts head masks and ignores them",
    cases=("forward.head-masks",),
    depends_on=("forward",),
    requires=("head_masks",),
)
def masked_head_is_zero(evidence: Evidence) -> Iterator[Result]:
    """A backend that ignores the mask returns the output of the pass without a mask."""
    results = [
        *evidence.against_oracle(),
        evidence.assert_depends_on(evidence.answer, "forward.head-masks", "forward", whole),
    ]
    yield from explained(results, lambda: ["forward"] if evidence.equals("forward") else [])
