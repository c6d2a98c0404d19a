"""The cache: decoding in steps is one full pass, and what is kept between steps is what the pass would have made."""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.tensors import TensorSpec
from parity.judge.checks.invariance import kept_lengths, own_row
from parity.judge.checks.outputs import lengths
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, whole
from parity.judge.results import Finding, Result

_CACHE = "BART page, past_key_values and use_cache: pre-computed keys and values speed up decoding, and change nothing"
_LAYOUT = (
    "BART page, past_key_values: for each layer self-attention's key and value, then cross-attention's, each "
    "(batch_size, num_heads, sequence_length, embed_size_per_head); FlaxBart, init_cache: [batch_size, max_length]"
)


@check(
    "CACHE01",
    claim="decoding one token at a time with a cache gives what one full pass gives, position by position",
    source=_CACHE,
    likely_cause="the cache is written at the wrong position, or a position is counted from the piece instead of "
    "the start",
    cases=("decode-steps",),
    also=("forward",),
)
def cached_steps_equal_full_pass(evidence: Evidence) -> Iterator[Result]:
    """A cache written at the wrong place, or a mask that forgets the past, shows from the second step on."""
    yield from evidence.between("decode-steps", "forward", whole, whole)


@check(
    "CACHE02",
    claim="decoding several tokens at a time with a cache gives what one full pass gives, position by position",
    source=_CACHE,
    likely_cause="no causal mask within a piece that is given with a cache, or one shifted by the cache's length",
    cases=("decode-chunks",),
    also=("forward",),
)
def cached_chunks_equal_full_pass(evidence: Evidence) -> Iterator[Result]:
    """Where the mask of a piece is wrong, its first token still is right if it sees too little, wrong if too much."""
    yield from evidence.between("decode-chunks", "forward", whole, whole)


@check(
    "CACHE03",
    claim="the keys and values kept by self-attention are within tolerance of the float64 oracle's",
    source=_LAYOUT,
    likely_cause="keys stored before their projection's bias or scale, or written over by a later step",
    cases=("decode-steps", "decode-chunks"),
)
def kept_keys_and_values(evidence: Evidence) -> Iterator[Result]:
    """After the last step, each position of each layer: what was kept and never used shows here alone."""
    yield from evidence.against_oracle("cache", names=("decoder.self_",))


@check(
    "CACHE04",
    claim="the keys and values kept by cross-attention are within tolerance of the float64 oracle's",
    source=_LAYOUT,
    likely_cause="keys made from another layer's states, or appended to at each step",
    cases=("decode-steps", "decode-chunks", "decode-steps.perturbed-batch"),
    requires=("cross_cache",),
)
def kept_cross_keys_and_values(evidence: Evidence) -> Iterator[Result]:
    """Computed once from the encoder's states; an error here is in every step."""
    yield from evidence.against_oracle("cache", names=("decoder.cross_",))


@check(
    "CACHE05",
    claim="the cache has its documented shape: the decoder's own grows by the tokens fed, the source's never changes",
    source=_LAYOUT,
    likely_cause="an axis moved, the source appended once more, or a step that replaces the cache instead of "
    "extending it",
    cases=("decode-steps", "decode-chunks"),
    needs_oracle=False,
)
def cache_has_its_shape(evidence: Evidence) -> Iterator[Result]:
    """Judged on the first layer as the library itself holds it, after every step."""
    fed = 0
    for step, fact in enumerate(evidence.trace.facts["steps"]):
        fed += fact["size"]
        wanted = _documented(evidence, fed)
        for name, shape, expected in zip(_NAMES, fact["layout"], wanted, strict=False):
            place = f"decoder.{name}.0"
            ok = len(shape) == 4 and all(e in (s, None) for s, e in zip(shape, expected, strict=True))
            what = f"after step {step} {place} has shape {shape}, documented is {_spelled(expected)}"
            yield Finding(ok, what, place, {"at": {"tgt": fed - 1}, "first_step": fed - 1})
        count = len(wanted) if "cross_cache" not in evidence.subject.lacking else len(wanted) // 2
        held = len(fact["layout"])
        yield Finding(held == count, f"after step {step} a layer holds {held} arrays, documented are {count}")


_NAMES = ("self_key", "self_value", "cross_key", "cross_value")


def _documented(evidence: Evidence, fed: int) -> list[list[int | None]]:
    """Shapes after ``fed`` tokens, None where nothing is documented: Flax and the references keep room ahead."""
    case, decoder = evidence.case, evidence.model_spec.decoder
    room, source = sum(case.settings["sizes"]), lengths(evidence).get("src", 0)
    if evidence.subject.class_prefix == "Flax":
        return [[case.batch, room, None, None]] * 4
    length = room if evidence.subject.room_ahead else fed
    shapes: list[list[int | None]] = []
    for positions in (length, length, source, source):
        shapes.append([case.batch, decoder.heads, positions, decoder.d_model // decoder.heads])
    return shapes


def _spelled(shape: list[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


@check(
    "CACHE06",
    claim="a cache whose rows were exchanged goes on as a full pass over the exchanged rows does",
    source="generation, beam search: the cache is re-ordered to match the beams that go on (reorder_cache)",
    likely_cause="rows exchanged in some layers or in one attention only, or along another axis",
    cases=("decode-steps.reordered",),
    also=("forward.reordered",),
)
def reordered_cache_goes_on(evidence: Evidence) -> Iterator[Result]:
    """Judged from the exchange on; a row that kept its own past differs there by as much as two sources do."""
    at = evidence.case.notes["at"]

    def after(spec: TensorSpec) -> tuple[slice, ...]:
        return (slice(None),) * (len(spec.axes) - 2) + (slice(at, None),)

    yield from evidence.between("decode-steps.reordered", "forward.reordered", after, after)


@check(
    "CACHE07",
    claim="decoding in steps, a row does not depend on the other rows of its batch",
    source="definition of a batch: rows are independent",
    likely_cause="a cache shared between rows, or a mask taken from the first row",
    cases=("decode-steps.perturbed-batch",),
    also=("decode-steps",),
)
def other_rows_leave_the_cache_alone(evidence: Evidence) -> Iterator[Result]:
    """All tokens of the other rows are exchanged; the row that stayed must stay, and so must what is kept of it."""
    notes = evidence.case.notes
    part = own_row(notes["row"], kept_lengths(notes))
    yield from evidence.between("decode-steps.perturbed-batch", "decode-steps", part, part)
