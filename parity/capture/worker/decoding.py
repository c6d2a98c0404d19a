"""Decoding operations: stepwise with a cache, generation, and scoring of a given text. No framework here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parity.backends.output_names import flatten
from parity.backends.protocol import Reorder, Step
from parity.capture.worker.session import Session
from parity.core.trace import Facts, Trace

CACHED = ("self_key", "self_value", "cross_key", "cross_value")
"""Canonical names of a layer's cache entries, in the documented order (BART page, ``past_key_values``)."""


def decode_steps(
    session: Session, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Mapping[str, Any] | None = None
) -> Trace:
    """Decodes in pieces, concatenated along the target axis as for one call; with the last cache.

    Args:
        sizes: number of tokens of each call.
        reorder: ``at`` and ``rows`` of ``parity.backends.protocol.Reorder``.
    """
    model = session.current()
    order = Reorder(reorder["at"], _rows(reorder["rows"], session.variant.permuted)) if reorder else None
    with session.clock.backend():
        steps = list(model.decode_steps(inputs, sizes, order))
        pieces = [flatten(step.fields, model.to_numpy) for step in steps]
    dtypes = dict(pieces[0][1])
    arrays = {name: _joined(name, [arrays[name] for arrays, _, _ in pieces], sum(sizes)) for name in pieces[0][0]}
    for name, value in _cached(steps[-1]):
        arrays[name], dtypes[name] = model.to_numpy(value)
    facts = [
        {"size": size, "layout": step.layout, "shapes": _shapes(step)} for size, step in zip(sizes, steps, strict=True)
    ]
    return Trace(arrays, {"steps": facts}, dtypes=dtypes)


def _rows(rows: Sequence[int], permuted: bool) -> tuple[int, ...]:
    """The source index of each row after reordering; in a batch with reversed rows, the corresponding indices."""
    return tuple(len(rows) - 1 - row for row in reversed(rows)) if permuted else tuple(rows)


def _joined(name: str, pieces: list[np.ndarray], length: int) -> np.ndarray:
    """Concatenates pieces; self-attention weights grow, and are 0 for keys that do not exist yet."""
    if ".attention." in name:
        pieces = [np.pad(piece, [(0, 0)] * 3 + [(0, length - piece.shape[-1])]) for piece in pieces]
    return np.concatenate(pieces, axis=2 if "attention" in name else 1)


def _cached(step: Step) -> list[tuple[str, Any]]:
    return [
        (f"decoder.{name}.{layer}", value)
        for layer, values in enumerate(step.cache)
        for name, value in zip(CACHED, values, strict=False)
    ]


def _shapes(step: Step) -> list[list[int]]:
    """Shapes of the first layer, in canonical layout."""
    return [list(value.shape) for value in step.cache[0]] if step.cache else []


def generate(
    session: Session, inputs: Mapping[str, np.ndarray], arguments: Mapping[str, Any], form: str = "", **others: Any
) -> Trace:
    """Generates tokens, and scores for beam search.

    Args:
        arguments: documented arguments of ``generate``.
        form: another form of the call with the same text; the references have the plain call only.
        others: arguments of the reference only: ``dialect``.
    """
    if form and hasattr(session.current(), "generate_in_form"):
        answer = session.call(inputs, "generate_in_form", settings=arguments, form=form)
    else:
        answer = session.call(inputs, "generate", settings=arguments, **others)
    given = {name: session.current().to_numpy(value) for name, value in answer.items()}
    arrays = {name: array.astype(np.int64) if name == "sequences" else array for name, (array, _) in given.items()}
    return Trace(arrays, dtypes={name: dtype for name, (_, dtype) in given.items()})


def sample(
    session: Session, inputs: Mapping[str, np.ndarray], arguments: Mapping[str, Any], draws: int, seeds: Sequence[int]
) -> Trace:
    """Samples the token after ``decoder_input_ids``, and records the scores drawn from where the backend has them.

    Args:
        arguments: documented arguments of ``generate``.
        draws: the number of results.
        seeds: of each call. The arrays are those of the first; the draws of several are recorded as a fact.
    """
    answer, *others = [session.call(inputs, "sample", settings=arguments, draws=draws, seed=seed) for seed in seeds]
    given = {name: session.current().to_numpy(value) for name, value in answer.items()}
    # The rows of a trace are those of the batch, here one.
    arrays = {name: array.astype(np.int64)[None] if name == "draws" else array for name, (array, _) in given.items()}
    every = [session.current().to_numpy(each["draws"])[0].tolist() for each in (answer, *others)]
    facts: Facts = {"draws": every} if others else {}
    return Trace(arrays, facts, dtypes={name: dtype for name, (_, dtype) in given.items()})


def generation_settings(session: Session, inputs: Mapping[str, np.ndarray]) -> Trace:
    """The settings that ``generate`` would use without arguments."""
    with session.clock.backend():
        settings = dict(session.current().generation_settings())
    return Trace(facts={"settings": settings})


SAMPLED = 64
"""Number of sampled tokens whose scores are stored beside the text's own."""


def score(session: Session, inputs: Mapping[str, np.ndarray], arguments: Mapping[str, Any]) -> Trace:
    """Scores of a given text by the backend's own full pass: no cache, no search.

    ``inputs`` hold ``sequences`` ``[batch, tgt + 1]`` with the start token first, padded after the end. Scores are
    log-probabilities where beams were searched, else logits, both processed; tokens after the end score 0 and are not
    counted. ``sampled_scores`` ``[batch, tgt, sample]`` are the same, unprocessed, of tokens spread over the
    vocabulary.

    Args:
        arguments: every generation setting that affects it (``reference.generation.GenerationSettings``).
    """
    from reference.generation import GenerationSettings, log_softmax, score_tokens

    given = {name: array for name, array in inputs.items() if name != "sequences"}
    sequences = inputs["sequences"]
    fields = session.call({**given, "decoder_input_ids": sequences[:, :-1]})
    logits, _ = session.current().to_numpy(fields["logits"])
    logits, settings = logits.astype(np.float64), GenerationSettings.from_dict(arguments)
    scored = score_tokens(logits, sequences, settings, sources=inputs.get("input_ids"))
    sample = np.unique(np.linspace(0, logits.shape[-1] - 1, SAMPLED).astype(np.int64))
    sampled = (logits if settings.num_beams == 1 else log_softmax(logits))[..., sample]
    return Trace(
        {
            "token_scores": scored.taken,
            "sampled_scores": np.where(scored.counted[..., None], sampled, 0.0),
            "sequences_scores": scored.total if scored.score is None else scored.score,
            "best_scores": scored.best,
            "best_tokens": scored.best_id,
            "counted": scored.counted,
        }
    )


def reachable(
    session: Session, inputs: Mapping[str, np.ndarray], arguments: Mapping[str, Any], tolerance: float
) -> Trace:
    """Every text that beam search could return if comparisons closer than ``tolerance`` had the opposite result.

    Only the reference supports it. ``row`` is the source index of each of ``sequences``, ``margins`` the smallest
    difference whose sign had to change for it (0 for the plain result).
    """
    from reference.generation import DOCUMENTED, GenerationSettings

    with session.clock.backend():
        outcomes, exhausted = session.current().reachable(inputs, arguments, tolerance)
    width = max(len(tokens) for _, tokens, _ in outcomes)
    pad = GenerationSettings.from_dict(arguments).fill(DOCUMENTED)
    sequences = np.array([[*tokens, *[pad] * (width - len(tokens))] for _, tokens, _ in outcomes], np.int64)
    rows = np.array([row for row, _, _ in outcomes], np.int64)
    margins = np.array([margin for _, _, margin in outcomes])
    return Trace({"sequences": sequences, "row": rows, "margins": margins}, {"exhausted": exhausted})
