"""KV cache: incremental decoding equals one full pass, and the cached keys and values are those of the full pass."""

from __future__ import annotations

from collections.abc import Iterator

from parity.core.tensors import TensorSpec
from parity.judge.checks.invariance import own_row, unpadded_lengths
from parity.judge.checks.outputs import lengths
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence, whole
from parity.judge.results import Finding, Result

_CACHE = (
    "BART page, past_key_values and use_cache: pre-computed keys and values speed up decoding and do not change its "
    "result"
)
_LAYOUT = (
    "BART page, past_key_values: for each layer self-attention's key and value, then cross-attention's, each "
    "(batch_size, num_heads, sequence_length, embed_size_per_head); FlaxBart, init_cache: [batch_size, max_length]"
)


@check(
    "CACHE01",
    claim="decoding one token at a time with a cache equals one full pass, position by position",
    source=_CACHE,
    likely_cause="the cache is written at the wrong position, or position ids restart with each call",
    cases=("decode-steps",),
    depends_on=("forward",),
)
def cached_steps_equal_full_pass(evidence: Evidence) -> Iterator[Result]:
    """A cache written at the wrong position, or a mask that drops earlier positions, shows from the second step on."""
    yield from evidence.between("decode-steps", "forward", whole, whole)


@check(
    "CACHE02",
    claim="decoding several tokens at a time with a cache equals one full pass, position by position",
    source=_CACHE,
    likely_cause="no causal mask within a chunk that is decoded with a cache, or a mask shifted by the cache length",
    cases=("decode-chunks",),
    depends_on=("forward",),
)
def cached_chunks_equal_full_pass(evidence: Evidence) -> Iterator[Result]:
    """With a wrong mask the first token of a chunk is right if the mask hides too much, and wrong if it hides too
    little."""
    yield from evidence.between("decode-chunks", "forward", whole, whole)


@check(
    "CACHE03",
    claim="cached self-attention keys and values are within tolerance of the float64 oracle",
    source=_LAYOUT,
    likely_cause="keys stored before the bias or scale of their projection, or overwritten by a later step",
    cases=("decode-steps", "decode-chunks"),
)
def cached_keys_and_values(evidence: Evidence) -> Iterator[Result]:
    """Compared after the last step, for each layer and position. A wrong entry that no step reads shows only here."""
    yield from evidence.against_oracle("cache", names=("decoder.self_",))


@check(
    "CACHE04",
    claim="cached cross-attention keys and values are within tolerance of the float64 oracle",
    source=_LAYOUT,
    likely_cause="keys computed from the states of another layer, or appended at each step",
    cases=("decode-steps", "decode-chunks", "decode-steps.perturbed-batch"),
    requires=("cross_cache",),
)
def cached_cross_keys_and_values(evidence: Evidence) -> Iterator[Result]:
    """They are computed once from the encoder's states, so an error here affects every step."""
    yield from evidence.against_oracle("cache", names=("decoder.cross_",))


@check(
    "CACHE05",
    claim="the cache has its documented shape: self-attention grows by the tokens decoded, cross-attention is constant",
    source=_LAYOUT,
    likely_cause="axes in another order, the source appended again, or a step that replaces the cache",
    cases=("decode-steps", "decode-chunks"),
    needs_oracle=False,
)
def cache_has_its_shape(evidence: Evidence) -> Iterator[Result]:
    """Compared after every step, on the first layer of the library's own cache object."""
    fed = 0
    for step, fact in enumerate(evidence.trace.facts["steps"]):
        fed += fact["size"]
        wanted = _documented(evidence, fed)
        for name, shape, expected in zip(_NAMES, fact["layout"], wanted, strict=False):
            tensor = f"decoder.{name}.0"
            ok = len(shape) == 4 and all(e in (s, None) for s, e in zip(shape, expected, strict=True))
            what = f"after step {step} {tensor} has shape {shape}, documented is {_format_shape(expected)}"
            yield Finding(ok, what, tensor, {"at": {"tgt": fed - 1}, "first_step": fed - 1})
        count = len(wanted) if "cross_cache" not in evidence.subject.lacking else len(wanted) // 2
        returned = len(fact["layout"])
        yield Finding(returned == count, f"after step {step} a layer has {returned} arrays, documented are {count}")


_NAMES = ("self_key", "self_value", "cross_key", "cross_value")


def _documented(evidence: Evidence, fed: int) -> list[list[int | None]]:
    """Shapes after ``fed`` tokens; None for an undocumented size. Flax and the references preallocate the length."""
    case, decoder = evidence.case, evidence.model_spec.decoder
    preallocated, source = sum(case.settings["sizes"]), lengths(evidence).get("src", 0)
    if evidence.subject.class_prefix == "Flax":
        return [[case.batch, preallocated, None, None]] * 4
    length = preallocated if evidence.subject.room_ahead else fed
    shapes: list[list[int | None]] = []
    for positions in (length, length, source, source):
        shapes.append([case.batch, decoder.heads, positions, decoder.d_model // decoder.heads])
    return shapes


def _format_shape(shape: list[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


@check(
    "CACHE06",
    claim="decoding with a reordered cache equals a full pass over the reordered rows",
    source="generation, beam search: the cache is reordered to match the selected beams (reorder_cache)",
    likely_cause="only some layers or only one kind of attention reordered, or reordering along another axis",
    cases=("decode-steps.reordered",),
    depends_on=("forward.reordered",),
)
def reordered_cache_equals_full_pass(evidence: Evidence) -> Iterator[Result]:
    """Compared from the reordering on. A row that was not reordered differs as much as two sources do."""
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
    depends_on=("decode-steps",),
)
def cache_is_row_independent(evidence: Evidence) -> Iterator[Result]:
    """All tokens of the other rows are replaced. The outputs and the cache of the unchanged row must not change."""
    notes = evidence.case.notes
    part = own_row(notes["row"], unpadded_lengths(notes))
    yield from evidence.between("decode-steps.perturbed-batch", "decode-steps", part, part)
