"""Invariances: what must not matter does not, and what must matter does. All judged on one backend's own answers."""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.case import Notes
from parity.core.tensors import TensorSpec
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, Region, whole
from parity.judge.results import Finding, Result

_MASK = "BART page, attention_mask: 0 for tokens that are masked, which attention does not look at"
_CAUSAL = "BART page, decoder_attention_mask: a causal mask is used by default; Vaswani et al. 2017, section 3.1"


def kept_lengths(notes: Notes) -> dict[str, int]:
    """Of the row that a case keeps, the lengths by axis."""
    return {axis: notes[axis] for axis in ("src", "frames", "tgt") if axis in notes}


def own_row(row: int | None, lengths: dict[str, int]) -> Region:
    """One row of the batch, cut to its own lengths; ``row`` None takes the only one."""

    def part(spec: TensorSpec) -> tuple[slice, ...] | None:
        if not spec.axes or spec.axes[0] != "batch":
            return None
        first = row if row is not None else 0
        cuts = (slice(lengths[axis]) if axis in lengths else slice(None) for axis in spec.axes[1:])
        return (slice(first, first + 1), *cuts)

    return part


def row_lengths(evidence: Evidence) -> Iterator[dict[str, int]]:
    """Of each row of the cell's case, the lengths by axis without padding; a default decoder is fed the source."""
    model_spec, inputs = evidence.model_spec, evidence.case.inputs
    source = inputs["encoder_attention_mask" if model_spec.decoder_only else "attention_mask"]
    target = inputs["attention_mask"] if model_spec.decoder_only else inputs.get("decoder_attention_mask", source)
    for seen, fed in zip(source, target, strict=True):
        states = sum(seen)
        frames = {} if model_spec.speech is None else {"frames": model_spec.frames(states, adapted=False)}
        yield {**frames, "src": states if model_spec.speech is None else model_spec.frames(states), "tgt": sum(fed)}


@check(
    "CALL01",
    claim="encoding first and then decoding with the encoder's output equals the whole call",
    source="BART page, encoder_outputs: may be passed instead of the inputs of the encoder",
    likely_cause="the source mask is not handed on, or an argument lands in another parameter's place",
    cases=("encode-decode",),
    also=("forward",),
)
def encode_then_decode(evidence: Evidence) -> Iterator[Result]:
    """Generation encodes once and decodes often, so this path is the one that produces text."""
    yield from evidence.between("encode-decode", "forward", whole, whole)


@check(
    "PAD01",
    claim="padding on the right does not change a row: alone and unpadded it gives the same",
    source=_MASK,
    likely_cause="a mask that is not applied, applied with the wrong sign, or positions counted from the padding",
    cases=("forward.single-row",),
    also=("forward",),
)
def padding_changes_nothing(evidence: Evidence) -> Iterator[Result]:
    """Compared on the row's own positions only: what stands at padded ones means nothing."""
    notes = evidence.case.notes
    lengths = kept_lengths(notes)
    yield from evidence.between("forward.single-row", "forward", own_row(None, lengths), own_row(notes["row"], lengths))


@check(
    "BATCH01",
    claim="a row does not depend on the other rows of its batch",
    source="definition of a batch: rows are independent",
    likely_cause="a mean or a mask taken over the batch, or rows exchanged",
    cases=("forward.perturbed-batch",),
    also=("forward",),
)
def is_row_independent(evidence: Evidence) -> Iterator[Result]:
    """All tokens of the other rows are exchanged; the row that stayed must stay."""
    notes = evidence.case.notes
    part = own_row(notes["row"], kept_lengths(notes))
    yield from evidence.between("forward.perturbed-batch", "forward", part, part)


@check(
    "MASK01",
    claim="no decoder position sees a later one",
    source=_CAUSAL,
    likely_cause="a causal mask that is missing, transposed, or off by one",
    cases=("forward.perturbed-future",),
    also=("forward",),
)
def future_is_unseen(evidence: Evidence) -> Iterator[Result]:
    """All tokens from one position on are exchanged: earlier logits stay, later ones move."""
    position = evidence.case.notes["tgt"]

    def before(spec: TensorSpec) -> tuple[slice, ...]:
        """Of the queries; that no later key is attended to is among what is compared."""
        return (slice(None),) * spec.axes.index("tgt") + (slice(position),) if "tgt" in spec.axes else ()

    def after(spec: TensorSpec) -> tuple[slice, ...]:
        return slice(None), slice(position, None)

    yield from evidence.between("forward.perturbed-future", "forward", before, before)
    yield evidence.changed(evidence.answer, "forward.perturbed-future", "forward", after)


@check(
    "MASK02",
    claim="every unmasked encoder position sees the whole unmasked source, and so does the decoder",
    source="Lewis et al. 2019, section 2: the encoder is bidirectional",
    likely_cause="a causal mask used in the encoder, or a mask that hides the last token",
    cases=("forward.perturbed-source",),
    also=("forward",),
)
def source_is_seen(evidence: Evidence) -> Iterator[Result]:
    """The last token of each source is exchanged; every state of that row must move."""
    for row, lengths in enumerate(evidence.case.notes["rows"]):
        if not evidence.model_spec.decoder_only and "hidden_states" not in evidence.subject.lacking:
            yield evidence.changed("encoder.last", "forward.perturbed-source", "forward", own_row(row, lengths))
        yield evidence.changed(evidence.answer, "forward.perturbed-source", "forward", own_row(row, {}))


@check(
    "MASK03",
    claim="what stands at masked positions changes nothing elsewhere",
    source=_MASK,
    likely_cause="a mask read with the wrong polarity, or not handed to the cross-attention",
    cases=("forward.perturbed-padding",),
    also=("forward",),
)
def masked_content_is_unseen(evidence: Evidence) -> Iterator[Result]:
    """Padding is replaced by ordinary words: a sum that still looks at it moves."""
    for row, lengths in enumerate(row_lengths(evidence)):
        part = own_row(row, lengths)
        yield from evidence.between("forward.perturbed-padding", "forward", part, part)


@check(
    "MASK04",
    claim="a row that is masked entirely changes no other row",
    source=f"{_MASK}; what such a row is itself worth, no page says, and nothing is claimed of it",
    likely_cause="a NaN of that row that reaches the others (0 times NaN is NaN), or a mask given up for all of "
    "the batch",
    cases=("forward.fully-masked-row",),
    also=("forward",),
)
def masked_rows_spoil_no_other(evidence: Evidence) -> Iterator[Result]:
    """One empty text among many is what a server is sent; the others are to be answered as ever."""
    for row, lengths in enumerate(row_lengths(evidence)):
        if row != evidence.case.notes["masked"]:
            part = own_row(row, lengths)
            yield from evidence.between("forward.fully-masked-row", "forward", part, part)


@check(
    "EVAL01",
    claim="in evaluation the same call gives the same bits twice",
    source="main classes, from_pretrained: the model is in evaluation mode, so dropout is off",
    likely_cause="dropout left on, or an operation whose order of sums is not fixed",
    cases=("forward.repeated",),
    needs_oracle=False,
)
def evaluation_repeats(evidence: Evidence) -> Iterator[Result]:
    """Within one process, on one device; across machines only tolerances hold."""
    first, second = evidence.trace.facts["first"], evidence.trace.facts["second"]
    for name in first:
        yield Finding(first[name] == second.get(name), f"{name} differs between two equal calls", name)
