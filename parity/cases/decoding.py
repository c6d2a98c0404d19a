"""Cases about decoding: stepwise with a cache, and text generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from parity.checkpoint.generation_settings import NOT_READ, not_followed, switched_off
from parity.core.case import NOISE_FLOOR, Case, Notes
from parity.core.model_spec import ModelSpec
from reference.generation import GenerationSettings

CHUNKS = (3, 2, 2)
"""Sizes of the pieces in which a target is decoded, where several tokens are fed at a time; the last size repeats."""

SHORT = 12
"""Length of a text generated to test a single setting."""

NEUTRAL: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "early_stopping": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
}
"""Every setting that changes the text, at the documented value that has no effect."""


def step_cases(
    full: Mapping[str, Any], other_rows: Mapping[str, Any], base_notes: Notes, *, decoder_only: bool
) -> Iterator[Case]:
    """Cases of stepwise decoding with a cache.

    Args:
        full: all inputs of the documented call, none left to a default.
        other_rows: the same with all rows but one replaced; ``base_notes`` is the unchanged row (``row``, and its
            lengths by axis).
        decoder_only: whether the model has no encoder, so that the decoder's tokens are the first input.
    """
    fed = "input_ids" if decoder_only else "decoder_input_ids"
    width, batch = len(full[fed][0]), len(full[fed])
    single, needs = {"sizes": [1] * width}, ("decode_steps",)
    yield Case("decode-steps", "decode_steps", dict(full), single, needs, notes=NOISE_FLOOR)
    yield Case("decode-chunks", "decode_steps", dict(full), {"sizes": chunks(width)}, needs)
    yield Case(
        "decode-steps.perturbed-batch",
        "decode_steps",
        dict(other_rows),
        single,
        needs,
        notes={**base_notes, **NOISE_FLOOR},
    )
    # Not past a row's own end: with padding before a token, RoBERTa assigns other positions in stepwise decoding.
    at = min(CHUNKS[0], width - 1, *map(sum, full["attention_mask" if decoder_only else "decoder_attention_mask"]))
    if batch > 1 and at > 0:
        rows = [batch - 1, *[0] * (batch - 1)]
        reorder = {"at": at, "rows": rows}
        exchanged: Notes = {"at": at, "rows": rows, **NOISE_FLOOR}
        yield Case("forward.reordered", "forward", reordered(full, at, rows, fed), notes=exchanged)
        settings, needs = {**single, "reorder": reorder}, ("decode_steps", "reorder_cache")
        yield Case("decode-steps.reordered", "decode_steps", dict(full), settings, needs, notes=exchanged)


def chunks(width: int) -> list[int]:
    """``CHUNKS``, cut or continued to cover ``width`` tokens."""
    sizes = []
    while sum(sizes) < width:
        size = CHUNKS[len(sizes)] if len(sizes) < len(CHUNKS) else CHUNKS[-1]
        sizes.append(min(size, width - sum(sizes)))
    return sizes


def reordered(full: Mapping[str, Any], at: int, rows: list[int], fed: str) -> dict[str, Any]:
    """Inputs of one full pass with the same result as steps whose rows are reordered at position ``at``.

    Row i has the source and the first ``at`` tokens of row ``rows[i]``, then its own tokens.
    """
    given = {name: np.array(values) for name, values in full.items()}
    moved = {name: values[rows] for name, values in given.items()}
    moved[fed][:, at:] = given[fed][:, at:]
    return {name: values.tolist() for name, values in moved.items()}


def generation_cases(
    full: Mapping[str, Any],
    other_rows: Mapping[str, Any],
    alone: Mapping[str, Any],
    base_notes: Notes,
    generation: Mapping[str, Any],
    model_spec: ModelSpec,
    ordinary: np.ndarray,
) -> Iterator[Case]:
    """Cases of text generation.

    Args:
        full, other_rows, base_notes: as for ``step_cases``.
        alone: the unchanged row by itself, without its padding.
        generation: the settings in force without arguments, by documented name
        (``parity.checkpoint.generation_settings``). Where some cannot be judged, cases that pass their own settings
        switch those off, and the other cases are skipped.
        ordinary: ids of all but the special tokens.
    """
    short, off = min(SHORT, model_spec.positions), switched_off(generation)
    eos = off.get("eos_token_id", generation["eos_token_id"])
    stored = GenerationSettings.from_dict(generation).further
    neutral = {**NEUTRAL, **{name: getattr(GenerationSettings, name) for name in stored}, **off, "max_length": short}
    beams = {**neutral, "num_beams": 4}
    arguments = {
        "generate.defaults": {},
        "generate.greedy": neutral,
        "generate.min-length": {**neutral, "min_length": max(2, short - 2)},
        "generate.max-length": {**neutral, "max_length": max(2, short // 2)},
        "generate.forced-bos": {**neutral, "forced_bos_token_id": int(ordinary[0])},
        "generate.forced-eos": {**neutral, "max_length": max(3, short // 2), "forced_eos_token_id": eos},
        "generate.no-repeat": {**neutral, "no_repeat_ngram_size": 2},
        "generate.beams": beams,
        "generate.length-penalty": {**beams, "length_penalty": 2.0},
        "generate.early-stopping": {**beams, "early_stopping": True},
    }
    if eos is None:
        del arguments["generate.forced-eos"]
    needs, notes = ("generation_settings",), _settings(generation)
    yield Case("generate.settings", "generation_settings", requires=needs, notes=notes)
    for name, given in arguments.items():
        yield generation_case(name, model_spec, full, given, generation, {})
    yield generation_case("generate.single-row", model_spec, alone, neutral, generation, base_notes)
    yield generation_case("generate.perturbed-batch", model_spec, other_rows, {}, generation, base_notes)


def generation_case(
    name: str,
    model_spec: ModelSpec,
    inputs: Mapping[str, Any],
    arguments: dict[str, Any],
    generation: Mapping[str, Any],
    base_notes: Notes,
) -> Case:
    """One generation case; arguments as for ``generation_cases``, ``base_notes`` becomes its notes."""
    in_force = GenerationSettings.from_dict(generation, **arguments).to_dict()
    requires, known = _known("generate", arguments, generation)
    requires += ("beam_search",) if in_force["num_beams"] > 1 else ()
    requires += ("no_repeat_ngram",) if in_force["no_repeat_ngram_size"] else ()
    requires += ("further_settings",) if GenerationSettings.from_dict(in_force).further else ()
    requires += ("forced_end",) if in_force["forced_eos_token_id"] is not None else ()
    source = {part: inputs[part] for part in (model_spec.main_input, "attention_mask")}
    notes: Notes = {**base_notes, **known, "settings": in_force}
    if name == "generate.single-row" and model_spec.padding_shows:
        requires += ("padding_is_unseen",)
        notes["lacking"] = {**notes.get("lacking", {}), "padding_is_unseen": model_spec.padding_shows}
    return Case(name, "generate", source, {"arguments": arguments}, requires, notes=notes)


def _settings(generation: Mapping[str, Any]) -> Notes:
    """What a check needs in order to judge which settings a library holds; settings that cannot be read are not
    judged."""
    known = {field.name for field in fields(GenerationSettings)}
    notes: Notes = {"settings": {name: value for name, value in generation.items() if name in known}}
    if generation.get(NOT_READ):
        notes[NOT_READ] = generation[NOT_READ]
    return notes


def _known(word: str, arguments: Mapping[str, Any], generation: Mapping[str, Any]) -> tuple[tuple[str, ...], Notes]:
    """The required capabilities of a case, and the reason why no backend has them where a setting is not supported
    here."""
    why = not_followed(generation, arguments)
    return ((word, "other_searches"), {"lacking": {"other_searches": why}}) if why else ((word,), {})
