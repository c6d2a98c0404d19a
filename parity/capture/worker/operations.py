"""What each operation runs on a loaded model, and which results go into its trace. No framework here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np

from parity.backends.layer_injection import MEMORY
from parity.backends.output_names import flatten
from parity.backends.protocol import Field
from parity.capture.worker import decoding, saving
from parity.capture.worker.other_config import with_other_config
from parity.capture.worker.session import Arrays, Session, is_array, leaves
from parity.core.case import Case
from parity.core.subject import HALF, Variant
from parity.core.trace import PROJECT_ABOVE, Facts, Trace, digest_array, random_projection

LARGE = 1 << 24
"""Size in bytes from which a parameter's memory is tracked to hash it only once."""
ANSWERS = ("logits", "start_logits", "decoder.last")
"""The inputs that imply a task, by class."""


def perform(case: Case, session: Session) -> Trace:
    """Runs one case.

    Raises:
        ValueError: the operation is unknown. The backend's exceptions propagate unchanged.
    """
    if case.operation not in _OPERATIONS:
        raise ValueError(f"unknown operation {case.operation!r}: {', '.join(_OPERATIONS)}")
    inputs = {name: case.array(name) for name in case.inputs}
    trace = _OPERATIONS[case.operation](
        session, permute(inputs) if session.variant.permuted else inputs, **case.settings
    )
    return replace(trace, arrays=_unpermute(trace.arrays, session.variant))


def permute(inputs: Mapping[str, np.ndarray]) -> Arrays:
    """The same batch with reversed rows; head masks (``[layers, heads]``) have no batch axis."""
    return {name: a if name.endswith("head_mask") else a[::-1].copy() for name, a in inputs.items()}


def _load(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """Two loads, one after the other, so that never more than one model is in memory."""
    first, rows = {}, {}
    model, seen = session.load(), _DigestCache()
    report = asdict(model.report)
    for name, array in model.parameters():
        first[name], rows[f"rows.{name}"] = seen.once(array, _described)
        del array
    del model, seen
    seen = _DigestCache()
    second = {name: seen.once(array, _checked)[0] for name, array in session.load().parameters()}
    if second != {name: facts["digest"] for name, facts in first.items()}:
        session.forget()  # other cases use the random values of a first load
    return Trace(rows, {"report": report, "parameters": first, "second": second})


class _DigestCache:
    """Digests of parameters by memory address: a tied table has several names and is hashed once.

    A view of known memory is recognised by its address, and referenced so that the address is not reused. An array that
    owns its memory is a copy made for this name and is not referenced.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[Any, ...], tuple[np.ndarray, Any]] = {}

    def once(self, array: np.ndarray, describe: Callable[[np.ndarray], Any]) -> Any:
        if array.nbytes < LARGE or array.flags.owndata:
            return describe(array)
        key = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if key not in self._held:
            self._held[key] = (array, describe(array))
        return self._held[key][1]


def _described(array: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """The trace's entry for one parameter, and its rows' checksums."""
    digest, checksums = _checked(array)
    facts = {"shape": list(array.shape), "dtype": _dtype_name(array), "digest": digest}
    fill = _fill(array)
    filled = {} if fill is None else {"fill": fill}
    return {**facts, "non_finite": _count_non_finite(array), **filled}, checksums


def _fill(array: np.ndarray) -> float | None:
    """The single finite value of all elements, if there is one; from the bits where numpy does not have the type."""
    flat = array.reshape(-1)
    # The first few elements exclude nearly all arrays.
    if not flat.size or (flat[:64] != flat[0]).any() or (flat != flat[0]).any():
        return None
    value = flat[:1]
    if array.dtype == np.uint16:
        value = (value.astype(np.uint32) << 16).view(np.float32)
    found = float(value[0])
    return found if np.isfinite(found) else None


def _checked(array: np.ndarray) -> tuple[str, np.ndarray]:
    """A parameter's digest, computed from shape, dtype and its rows' checksums, and those checksums."""
    checksums = row_checksums(_plain(array))
    return digest_array(checksums, f"{_dtype_name(array)}{array.shape}"), checksums


def _dtype_name(array: np.ndarray) -> str:
    return "bfloat16" if array.dtype == np.uint16 else str(array.dtype)


def _forward(session: Session, inputs: Mapping[str, np.ndarray], method: str = "call") -> Trace:
    model = session.current()
    arrays, dtypes, facts = flatten(session.call(inputs, method), model.to_numpy)
    return Trace(arrays, {"fields": facts}, dtypes=dict(dtypes))


def _encode_decode(session: Session, inputs: Mapping[str, np.ndarray], form: str = "") -> Trace:
    """``form``: of ``encoder_outputs``. A reference makes the whole call: every form is documented to be the same."""
    if form:
        return _by_method(session, inputs, "encode_then_decode_in_form", form=form)
    return _forward(session, inputs, "encode_then_decode")


def _embedded(session: Session, inputs: Mapping[str, np.ndarray], tokens: str) -> Trace:
    """The call with embeddings in place of ``tokens``. A reference computes it from the tokens: both are documented to
    be the same."""
    return _by_method(session, inputs, "call_embedded", tokens=tokens)


def _in_form(session: Session, inputs: Mapping[str, np.ndarray], form: str) -> Trace:
    """The call in another form. A reference makes the plain call: both are documented to be the same."""
    return _by_method(session, inputs, "call_in_form", form=form)


def _uncached(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The call with ``use_cache=False``. A reference returns no cache anyway."""
    return _by_method(session, inputs, "call_uncached")


def _requested(session: Session, inputs: Mapping[str, np.ndarray], requested: Sequence[str]) -> Trace:
    """The call with these arguments ``output_*`` alone. A reference returns every field anyway."""
    return _by_method(session, inputs, "call_requesting", requested=requested)


def _training(
    session: Session, inputs: Mapping[str, np.ndarray], rates: Mapping[str, float], seeds: Sequence[int]
) -> Trace:
    """Calls in training mode; the first one's arrays are stored, and of each other one whether it is equal.

    Args:
        rates: fields of the config, with the values that the model is loaded with.
        seeds: one for each call.
    """
    calls = []
    with with_other_config(session.checkpoint, rates) as folder:
        model = session.load_other(checkpoint=folder)
        for seed in seeds:
            with session.clock.backend():
                answer = model.call_in_training(inputs, seed=seed)
            # A skipped layer has no attention weights.
            states = {field: value for field, value in answer.items() if "attentions" not in field}
            calls.append(flatten(states, model.to_numpy))
    (arrays, dtypes, facts), *others = calls
    equal = [_equal(arrays, other) for other, _, _ in others]
    return Trace(arrays, {"fields": facts, "equals_first": equal}, dtypes=dict(dtypes))


def _equal(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _by_method(session: Session, inputs: Mapping[str, np.ndarray], method: str, **keywords: Any) -> Trace:
    model = session.current()
    if not hasattr(model, method):
        return _forward(session, inputs)
    arrays, dtypes, facts = flatten(session.call(inputs, method, **keywords), model.to_numpy)
    return Trace(arrays, {"fields": facts}, dtypes=dict(dtypes))


def _repeat(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The same call twice, compared bit for bit; only digests are stored."""
    digests = []
    for _ in range(2):
        arrays, _, _ = flatten(session.call(inputs), session.current().to_numpy)
        digests.append({name: digest_array(array) for name, array in arrays.items()})
    return Trace(facts={"first": digests[0], "second": digests[1]})


def _tuple(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The dict and the tuple output of the same call, flattened in the library's own order."""
    to_numpy = session.current().to_numpy
    named = {name: value for name, value in session.call(inputs).items() if value is not None}
    parts = [leaf for name, value in named.items() for leaf in leaves(value, name)]
    bare = list(leaves(tuple(session.call(inputs, as_tuple=True)), ""))
    summaries = [[_summary(value, to_numpy) for _, value in each] for each in (parts, bare)]
    return Trace(facts={"dict": summaries[0], "tuple": summaries[1], "names": [name for name, _ in parts]})


def _each_layer(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The output of each layer for the input states in the oracle's trace of the same inputs."""
    states = {name: array for name, array in session.saved().arrays.items() if ".hidden." in name or name == MEMORY}
    if session.variant.permuted:
        states = permute(states)
    model = session.current()
    arrays, dtypes, facts = flatten(session.call(inputs, "layerwise", states=states), model.to_numpy)
    return Trace(arrays, {"fields": facts}, dtypes=dict(dtypes))


def _gradients(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    model = session.current()

    def keep(gradient: np.ndarray) -> tuple[np.ndarray, str, bool]:
        array, dtype = _named(np.asarray(gradient))
        return _reduced(array), dtype, array.size > PROJECT_ABOVE

    with session.clock.backend():
        if hasattr(model, "reduced_gradients"):
            loss, found = model.reduced_gradients(inputs, keep)
        else:
            loss, gradients = model.gradients(inputs)
            gradients = dict(gradients)  # each is freed as soon as it has been reduced
            found = {name: keep(gradients.pop(name)) for name in list(gradients)}
    # A backend that differentiates outside the library's own output may already have the loss on the host.
    on_host = isinstance(loss, (np.ndarray, np.generic))
    value, dtype = _named(np.asarray(loss)) if on_host else model.to_numpy(loss)
    value = _widened(value)
    given = {f"gradient.{parameter}": each for parameter, each in found.items()}
    dtypes = {"loss": dtype, **{name: dtype for name, (_, dtype, _) in given.items()}}
    facts: Facts = {"projected": [name for name, (_, _, projected) in given.items() if projected]}
    if hasattr(model, "softmax_cancellation"):
        facts = cast("Facts", {**facts, **model.softmax_cancellation(inputs)})
    return Trace({"loss": value, **{name: array for name, (array, _, _) in given.items()}}, facts, dtypes=dtypes)


def _reduced(gradient: np.ndarray) -> np.ndarray:
    """The stored form of a gradient: all of it, or its random projection."""
    if gradient.size > PROJECT_ABOVE:
        return random_projection(gradient)
    return _widened(gradient)


def _widened(array: np.ndarray) -> np.ndarray:
    """A half-precision array as float32: a trace stores no bfloat16."""
    return array.astype(np.float32) if str(array.dtype) in HALF else array


def _named(array: np.ndarray) -> tuple[np.ndarray, str]:
    """A host array of floats and its dtype. uint16 holds the bits of bfloat16, where ``ml_dtypes`` is not installed."""
    if array.dtype != np.uint16:
        return array, str(array.dtype)
    return np.asarray(array.astype(np.uint32) << 16).view(np.float32), "bfloat16"


def _of_files(method: str) -> Callable[..., Trace]:
    """An operation whose result is facts alone: about files other than the weights."""

    def run(session: Session, inputs: Mapping[str, np.ndarray], **settings: Any) -> Trace:
        files = session.current()
        with session.clock.backend():
            return Trace(facts=getattr(files, method)(**settings))

    return run


def _signature(session: Session, inputs: Mapping[str, np.ndarray], methods: list[str]) -> Trace:
    return Trace(facts={"signatures": session.current().signatures(methods)})


def _compose(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The composition built anew from its two halves."""
    with session.clock.backend():
        joined = session.current().composed(session.checkpoint)
    parameters = {name: _described(array)[0] for name, array in joined.parameters()}
    flags = dict(joined.flags())
    return Trace(facts={"parameters": parameters, "flags": flags, "training": joined.report.training})


def _load_as(session: Session, inputs: Mapping[str, np.ndarray], model_class: str) -> Trace:
    """The same files, loaded by another class of the same architecture."""
    return saving.in_memory(session.load_other(model_class=model_class), _described)


def _frozen_gradients(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """Which parameters still have a gradient; in a separate model, because freezing is permanent."""
    model = session.load_other()
    with session.clock.backend():
        _, gradients = model.frozen_gradients(inputs)
    return Trace(facts={"moved": sorted(name for name, array in gradients.items() if np.any(array))})


def _plain_load(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """A load without arguments and its output: logits, or the last states where there is no head."""
    model = session.load_plain()
    facts = cast("Facts", model.as_loaded())
    with session.clock.backend():
        fields = model.call(inputs)
    if isinstance(fields, tuple):
        raise TypeError("a tuple was returned where none was requested")
    arrays, dtypes, _ = flatten(fields, model.to_numpy)
    names = [name for name in ANSWERS if name in arrays][:1]
    return Trace({name: arrays[name] for name in names}, facts, dtypes={name: dtypes[name] for name in names})


def _route(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    return Trace(facts={"route": session.current().report.route})


def _save(session: Session, inputs: Mapping[str, np.ndarray], format: str) -> Trace:
    return saving.save(session, format, _described)


def _load_saved(session: Session, inputs: Mapping[str, np.ndarray], route: str, generates: bool) -> Trace:
    return saving.load_saved(session, session.saved(), route, generates, _described)


def _save_files(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    return saving.save_files(session)


def _load_files(session: Session, inputs: Mapping[str, np.ndarray], **settings: Any) -> Trace:
    return saving.load_files(session, session.saved(), settings)


_OPERATIONS: dict[str, Callable[..., Trace]] = {
    "load": _load,
    "forward": _forward,
    "encode_decode": _encode_decode,
    "repeat": _repeat,
    "tuple": _tuple,
    "embedded": _embedded,
    "uncached": _uncached,
    "requested": _requested,
    "in_form": _in_form,
    "training": _training,
    "gradients": _gradients,
    "decode_steps": decoding.decode_steps,
    "generate": decoding.generate,
    "sample": decoding.sample,
    "generation_settings": decoding.generation_settings,
    "score": decoding.score,
    "reachable": decoding.reachable,
    "config": _of_files("configuration"),
    "tokenize": _of_files("tokenize"),
    "tokenizer_files": _of_files("tokenizer_files"),
    "weight_files": _of_files("compare_weight_files"),
    "plain_load": _plain_load,
    "save": _save,
    "load_saved": _load_saved,
    **dict.fromkeys(("save_config", "save_tokenizer"), _save_files),
    **dict.fromkeys(("load_config", "load_tokenizer"), _load_files),
    "signature": _signature,
    "compose": _compose,
    "route": _route,
    "layerwise": _each_layer,
    "load_as": _load_as,
    "frozen_gradients": _frozen_gradients,
}


def _plain(array: np.ndarray) -> np.ndarray:
    """Types that numpy lacks (bfloat16) as unsigned integers with the same bits: a view, not a copy."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _count_non_finite(array: np.ndarray) -> int:
    """Number of NaN and infinite elements; ``uint16`` holds the bits of bfloat16 where that type is missing."""
    if array.dtype == np.uint16:
        exponent = np.uint16(0x7F80)
        return int(np.count_nonzero((array & exponent) == exponent))
    if array.dtype.kind in "biu":
        return 0
    widened = array if array.dtype.isbuiltin == 1 else array.astype(np.float32)
    return int(array.size - np.count_nonzero(np.isfinite(widened)))


def row_checksums(array: np.ndarray) -> np.ndarray:
    """One checksum for each slice along the first axis, ``uint64 [rows]``; for a scalar ``[1]``.

    The bits of the row's elements times fixed factors, summed modulo 2⁶⁴. Odd factors are invertible, so a change of
    any single element changes the sum. Any memory layout is accepted, so that a transposed kernel need not be copied.
    Elements of four bytes are numbered in pairs, as halves of an eight-byte word, and read as such where they are
    contiguous.
    """
    words = array.view(f"u{array.itemsize}")
    length = len(words) if array.ndim else 1
    rows = words if words.ndim == 2 else words.reshape(length, words.size // max(length, 1))
    odd = np.random.default_rng(0).integers(0, 2**64, rows.shape[1], np.uint64) | np.uint64(1)
    if rows.itemsize != 4:
        return np.einsum("rw,w->r", rows, odd)
    if rows.flags.c_contiguous and rows.shape[1] % 2 == 0 and sys.byteorder == "little":
        return np.einsum("rw,w->r", rows.view(np.uint64), odd[: rows.shape[1] // 2])
    halves = np.repeat(odd, 2)[: rows.shape[1]]
    halves[1::2] <<= np.uint64(32)
    return np.einsum("rw,w->r", rows, halves)


def _unpermute(arrays: Mapping[str, np.ndarray], variant: Variant) -> Mapping[str, np.ndarray]:
    """Rows in the original order; the loss and gradients are of the whole batch."""
    if not variant.permuted:
        return arrays
    whole = ("loss", "gradient.")
    return {name: array if name.startswith(whole) else array[::-1] for name, array in arrays.items()}


def _summary(value: Field, to_numpy: Callable[[Any], tuple[np.ndarray, str]]) -> str:
    return digest_array(to_numpy(value)[0]) if is_array(value) else type(value).__name__
