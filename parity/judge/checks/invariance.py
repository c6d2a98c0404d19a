"""Invariances: outputs must not depend on padding, other rows or the future, and must depend on visible inputs.

Every check compares two outputs of one backend.
"""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.case import Notes
from parity.core.tensors import TensorSpec
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, Region, whole
from parity.judge.results import Finding, Result

_MASK = "BART page, attention_mask: 0 for tokens that are masked, which attention ignores"
_CAUSAL = "BART page, decoder_attention_mask: a causal mask is used by default; Vaswani et al. 2017, section 3.1"


def unpadded_lengths(notes: Notes) -> dict[str, int]:
    """By axis, the length without padding of the row that a case leaves unchanged."""
    return {axis: notes[axis] for axis in ("src", "frames", "tgt") if axis in notes}


def own_row(row: int | None, lengths: dict[str, int]) -> Region:
    """The region of one row of the batch without its padding; ``row`` None selects the only row."""

    def part(spec: TensorSpec) -> tuple[slice, ...] | None:
        if not spec.axes or spec.axes[0] != "batch":
            return None
        first = row if row is not None else 0
        cuts = (slice(lengths[axis]) if axis in lengths else slice(None) for axis in spec.axes[1:])
        return (slice(first, first + 1), *cuts)

    return part


def row_lengths(evidence: Evidence) -> Iterator[dict[str, int]]:
    """For each row of the cell's case, its length by axis without padding. By default the decoder input is the
    source."""
    model_spec, inputs = evidence.model_spec, evidence.case.inputs
    source = inputs["encoder_attention_mask" if model_spec.decoder_only else "attention_mask"]
    target = inputs["attention_mask"] if model_spec.decoder_only else inputs.get("decoder_attention_mask", source)
    for seen, fed in zip(source, target, strict=True):
        states = sum(seen)
        frames = {} if model_spec.speech is None else {"frames": model_spec.frames(states, adapted=False)}
        yield {**frames, "src": states if model_spec.speech is None else model_spec.frames(states), "tgt": sum(fed)}


@check(
    "CALL01",
    claim="encoding first and then decoding with encoder_outputs equals the whole call",
    source="BART page, encoder_outputs: may be passed instead of the inputs of the encoder",
    likely_cause="the source mask is not passed on, or an argument is bound to another parameter",
    cases=("encode-decode",),
    depends_on=("forward",),
)
def encode_then_decode(evidence: Evidence) -> Iterator[Result]:
    """Generation uses this path: it encodes once and decodes many times."""
    yield from evidence.between("encode-decode", "forward", whole, whole)


@check(
    "CALL02",
    claim="embeddings in place of tokens give what the tokens give",
    source="BART page, inputs_embeds and decoder_inputs_embeds: an embedded representation instead of the ids",
    likely_cause="the argument is ignored or bound to the other half, or embeddings are scaled twice",
    cases=(
        "forward.inputs-embeds",
        "forward.decoder-inputs-embeds",
        "forward.own-decoder-inputs.inputs-embeds",
        "forward.own-decoder-inputs.decoder-inputs-embeds",
    ),
    depends_on=("forward",),
)
def embeddings_instead_of_tokens(evidence: Evidence) -> Iterator[Result]:
    """Embeddings are the rows of the table, times the scale that the config asks for.

    Padding is not compared: RoBERTa finds it by its tokens, and counts other positions there.
    """
    name = evidence.case.name
    base = name[: name.rindex(".")]
    for row, lengths in enumerate(row_lengths(evidence)):
        yield from evidence.between(name, base, own_row(row, lengths), own_row(row, lengths))


@check(
    "CALL04",
    claim="encoder_outputs as an output object, as a tuple, and with the last hidden state alone, gives what the "
    "encoder's inputs give",
    source="BART page, encoder_outputs: a tuple of last_hidden_state and, optionally, hidden_states and attentions",
    likely_cause="the argument is ignored, or fields are taken by position from another form",
    cases=(
        "forward.encoder-tuple",
        "forward.encoder-states",
        "forward.own-decoder-inputs.encoder-output",
        "forward.own-decoder-inputs.encoder-tuple",
        "forward.own-decoder-inputs.encoder-states",
    ),
    depends_on=("forward",),
)
def encoder_outputs_in_each_form(evidence: Evidence) -> Iterator[Result]:
    """Other states of the encoder are returned only if they were given. A classifier also gets ``input_ids`` to find
    the end tokens; the others are padding there, so that the source cannot be encoded again."""
    name = evidence.case.name
    absent = ("encoder.hidden.", "encoder.attention.") if evidence.case.settings["form"] == "states" else ()
    for result in evidence.between(name, name[: name.rindex(".")], whole, whole):
        if not (result.tensor or "").startswith(absent):
            yield result


@check(
    "CALL05",
    claim="the call returns the same uncompiled with the model's own parameters, with given ones of a model whose own "
    "are 0, under jax.vmap and under jax.pmap",
    source="BART page, Flax: a linen module that supports JIT compilation, differentiation, vectorization and "
    "parallelization; params",
    likely_cause="parameters taken from the model in place of the argument, or a result that depends on tracing",
    cases=("forward.own-parameters", "forward.given-parameters", "forward.vectorised", "forward.parallel"),
    depends_on=("forward",),
)
def call_is_a_function_of_parameters(evidence: Evidence) -> Iterator[Result]:
    """The case ``forward`` is compiled by ``jax.jit``, and ``gradients`` by ``jax.value_and_grad``."""
    yield from evidence.between(evidence.case.name, "forward", whole, whole)


@check(
    "CALL06",
    claim="a masked column before a text changes nothing if the positions count from the column after it",
    source="BART page, Flax and TensorFlow: position_ids and decoder_position_ids are indices of position embeddings",
    likely_cause="the argument is ignored, or passed to the other half",
    cases=("forward.positions", "forward.own-decoder-inputs.positions"),
    depends_on=("forward",),
)
def given_positions(evidence: Evidence) -> Iterator[Result]:
    """Positions that are ignored are each one too high. The column is removed from the outputs.

    Padding is not compared: a row of attention that sees nothing is undefined.
    """
    name = evidence.case.name
    for row, lengths in enumerate(row_lengths(evidence)):
        yield from evidence.between(name, name[: name.rindex(".")], own_row(row, lengths), own_row(row, lengths))


@check(
    "CALL03",
    claim="without a cache the call returns the same, and no cache",
    source="BART page, use_cache: past_key_values are returned if it is set",
    likely_cause="another path without a cache, or an argument that is ignored",
    cases=("forward.no-cache",),
    depends_on=("forward",),
)
def without_a_cache(evidence: Evidence) -> Iterator[Result]:
    """Training uses this path."""
    fields = [fact["field"] for fact in evidence.trace.facts["fields"]]
    yield Finding("past_key_values" not in fields, "past_key_values were returned", "past_key_values")
    yield from evidence.between("forward.no-cache", "forward", whole, whole)


@check(
    "CALL07",
    claim="all inputs as a list, a tuple or a dictionary in the first argument give what keywords give",
    source="BART page, TensorFlow: all inputs as a list, tuple or dict in the first positional argument",
    likely_cause="another order of the inputs, or inputs after the first that are ignored",
    cases=("forward.inputs-as-*",),
    depends_on=("forward",),
    requires=("input_forms",),
)
def inputs_in_the_first_argument(evidence: Evidence) -> Iterator[Result]:
    """Keras passes inputs in this form. A list and a tuple are in the order of the signature."""
    yield from evidence.between(evidence.case.name, "forward", whole, whole)


@check(
    "PAD01",
    claim="right padding does not change a row: as a single row without padding it gives the same outputs",
    source=_MASK,
    likely_cause="a mask that is not applied, applied with the wrong sign, or positions counted from the padding",
    cases=("forward.single-row",),
    depends_on=("forward",),
)
def padding_changes_nothing(evidence: Evidence) -> Iterator[Result]:
    """Only the row's own positions are compared: outputs at padded positions are undefined."""
    notes = evidence.case.notes
    lengths = unpadded_lengths(notes)
    yield from evidence.between("forward.single-row", "forward", own_row(None, lengths), own_row(notes["row"], lengths))


@check(
    "BATCH01",
    claim="a row does not depend on the other rows of its batch",
    source="definition of a batch: rows are independent",
    likely_cause="a mean or a mask computed over the batch, or rows in another order",
    cases=("forward.perturbed-batch",),
    depends_on=("forward",),
)
def is_row_independent(evidence: Evidence) -> Iterator[Result]:
    """All tokens of the other rows are replaced. The outputs of the unchanged row must not change."""
    notes = evidence.case.notes
    part = own_row(notes["row"], unpadded_lengths(notes))
    yield from evidence.between("forward.perturbed-batch", "forward", part, part)


@check(
    "MASK01",
    claim="no decoder position depends on a later one",
    source=_CAUSAL,
    likely_cause="a causal mask that is missing, transposed, or off by one",
    cases=("forward.perturbed-future",),
    depends_on=("forward",),
)
def future_is_unseen(evidence: Evidence) -> Iterator[Result]:
    """All tokens from one position on are replaced: earlier outputs must not change, later ones must."""
    position = evidence.case.notes["tgt"]

    def before(spec: TensorSpec) -> tuple[slice, ...]:
        """The queries before the position. Their attention to later keys is part of the comparison."""
        return (slice(None),) * spec.axes.index("tgt") + (slice(position),) if "tgt" in spec.axes else ()

    def after(spec: TensorSpec) -> tuple[slice, ...]:
        return slice(None), slice(position, None)

    yield from evidence.between("forward.perturbed-future", "forward", before, before)
    yield evidence.assert_depends_on(evidence.answer, "forward.perturbed-future", "forward", after)


@check(
    "MASK02",
    claim="every unmasked encoder position, and the decoder, depend on the whole unmasked source",
    source="Lewis et al. 2019, section 2: the encoder is bidirectional",
    likely_cause="a causal mask used in the encoder, or a mask that hides the last token",
    cases=("forward.perturbed-source",),
    depends_on=("forward",),
)
def source_is_seen(evidence: Evidence) -> Iterator[Result]:
    """The last token of each source is replaced. Every state of that row must change."""
    for row, lengths in enumerate(evidence.case.notes["rows"]):
        if not evidence.model_spec.decoder_only and "hidden_states" not in evidence.subject.lacking:
            yield evidence.assert_depends_on(
                "encoder.last", "forward.perturbed-source", "forward", own_row(row, lengths)
            )
        yield evidence.assert_depends_on(evidence.answer, "forward.perturbed-source", "forward", own_row(row, {}))


@check(
    "MASK03",
    claim="the content of masked positions does not change the outputs at other positions",
    source=_MASK,
    likely_cause="a mask with inverted polarity, or one that is not passed to the cross-attention",
    cases=("forward.perturbed-padding",),
    depends_on=("forward",),
)
def masked_content_is_unseen(evidence: Evidence) -> Iterator[Result]:
    """Padding is replaced by ordinary tokens. Any sum that still includes it changes."""
    for row, lengths in enumerate(row_lengths(evidence)):
        part = own_row(row, lengths)
        yield from evidence.between("forward.perturbed-padding", "forward", part, part)


@check(
    "MASK04",
    claim="a fully masked row does not change any other row",
    source=f"{_MASK}; the outputs of the fully masked row itself are undefined",
    likely_cause="a NaN of that row that reaches the others (0 times NaN is NaN), or a mask dropped for the whole "
    "batch",
    cases=("forward.fully-masked-row",),
    depends_on=("forward",),
)
def fully_masked_row_is_isolated(evidence: Evidence) -> Iterator[Result]:
    """A server may receive one empty text in a batch. The outputs of the other rows must not change."""
    for row, lengths in enumerate(row_lengths(evidence)):
        if row != evidence.case.notes["masked"]:
            part = own_row(row, lengths)
            yield from evidence.between("forward.fully-masked-row", "forward", part, part)


@check(
    "EVAL01",
    claim="in evaluation mode the same call gives the same bits twice",
    source="main classes, from_pretrained: the model is in evaluation mode, so dropout is off",
    likely_cause="dropout left on, or an operation with a non-deterministic order of sums",
    cases=("forward.repeated",),
    needs_oracle=False,
)
def evaluation_repeats(evidence: Evidence) -> Iterator[Result]:
    """Within one process and on one device. Between machines outputs agree within tolerance only."""
    first, second = evidence.trace.facts["first"], evidence.trace.facts["second"]
    for name in first:
        yield Finding(first[name] == second.get(name), f"{name} differs between two equal calls", name)
