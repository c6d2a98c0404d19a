"""Shared by the two reference backends: outputs as fields, and load reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.backends.protocol import Field, LoadReport, Reorder, Step, token_input_names

DECODER_MASKS = ("decoder_attention_mask", "decoder_head_mask", "cross_attn_head_mask")


def encoder_inputs(model: Any) -> tuple[str, str, str]:
    """Arguments of a reference's ``encode``, in order."""
    return model.main_input, "attention_mask", "head_mask"


def decoder_masks(model: Any, given: Mapping[str, Any], memory: Any) -> list[Any]:
    """Arguments of a reference's ``decode`` after the encoder's states, in order."""
    return [model.source_mask(given.get("attention_mask"), memory), *map(given.get, DECODER_MASKS)]


def fed(model: Any, given: Mapping[str, Any], memory: Any = None) -> tuple[Any, Any]:
    """The encoder, then the decoder with its last states or with ``memory``: both outputs."""
    encoded = model.encode(*map(given.get, encoder_inputs(model)))
    memory = encoded.last_hidden_state if memory is None else memory
    return encoded, model.decode(given["decoder_input_ids"], memory, *decoder_masks(model, given, memory))


def whole(output: Any) -> Mapping[str, Field]:
    """An output's fields that are not None, in order; the bare model's fields after those of the head."""
    named = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    states = named.pop("states", None)
    if states is not None:
        named |= {name: value for name, value in whole(states).items() if name != "last_hidden_state"}
    return {name: value for name, value in named.items() if value is not None}


def in_two(model: Any, encoded: Any, decoded: Any) -> Mapping[str, Field]:
    """An ``EncoderOutput`` and a ``DecoderOutput`` under the names, and in the order, of the whole call."""
    named = {
        _scored(model): decoded.logits,
        "decoder_hidden_states": decoded.hidden_states,
        "decoder_attentions": decoded.attentions,
        "cross_attentions": decoded.cross_attentions,
        "encoder_last_hidden_state": encoded.last_hidden_state,
        "encoder_hidden_states": encoded.hidden_states,
        "encoder_attentions": encoded.attentions,
    }
    return {name: value for name, value in named.items() if value is not None}


def _scored(model: Any) -> str:
    """The decoder's logits; for a bare model its last states."""
    return "last_hidden_state" if model.model_class == "BartModel" else "logits"


def in_steps(
    model: Any, as_inputs: Any, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None
) -> Iterator[Step]:
    """``Model.decode_steps`` of either reference; the cache has the length of the input.

    Args:
        as_inputs: of the model's own package.
    """
    given = as_inputs(model, inputs)
    ids, seen = token_input_names(given)
    memory, memory_mask = given.get("encoder_hidden_states"), given.get("encoder_attention_mask")
    if ids == "decoder_input_ids":
        memory = model.encode(*map(given.get, encoder_inputs(model))).last_hidden_state
        memory_mask = model.source_mask(given["attention_mask"], memory)
    cache, start = model.start_cache(memory, sum(sizes)), 0
    masks = [memory_mask, given[seen]]
    for size in sizes:
        if reorder is not None and reorder.at == start:
            rows = as_inputs(model, {"rows": np.array(reorder.rows)})["rows"]
            cache, masks = cache.reordered(rows), [mask[rows] for mask in masks]
        end = start + size
        output, cache = model.step(given[ids][:, start:end], cache, *masks)
        yield Step(_of_a_step(model, output, end), cache.past_key_values(), _layout(cache))
        start = end


def _of_a_step(model: Any, output: Any, end: int) -> Mapping[str, Field]:
    """A ``DecoderOutput`` under the names of the whole call, self-attention cut to the tokens fed."""
    own = output.attentions and tuple(weights[..., :end] for weights in output.attentions)
    named = {
        _scored(model): output.logits,
        "decoder_hidden_states": output.hidden_states,
        "decoder_attentions": own,
        "cross_attentions": output.cross_attentions,
    }
    return {name: value for name, value in named.items() if value is not None}


def _layout(cache: Any) -> list[list[int]]:
    return [list(array.shape) for array in (*cache.layers[0].own, *cache.layers[0].cross)]


def dialect_called(name: str | None) -> Any:
    """A constant of ``reference.generation.dialect``; by default the documented one."""
    from reference.generation import dialect

    return getattr(dialect, name or "DOCUMENTED")


def generated(found: Any) -> Mapping[str, Field]:
    """A ``reference.generation.Generated`` under the libraries' field names."""
    fields = {"sequences": found.sequences}
    return fields if found.scores is None else {**fields, "sequences_scores": found.scores}


def sampled(
    logits: np.ndarray, inputs: Mapping[str, np.ndarray], settings: Any, draws: int, seed: int
) -> Mapping[str, Field]:
    """``Model.sample`` of either reference, and the logits that it starts from.

    Args:
        logits: ``[1, vocab]`` of the position after the tokens.
        inputs: ``decoder_input_ids``, the text so far with the start token first, int ``[1, length]``; and
            ``input_ids``, if the source is text.
        settings: ``reference.generation.GenerationSettings``.
        draws: the number of results.
        seed: of the random numbers.
    """
    from reference.generation import DOCUMENTED, processed, repeated_sources
    from reference.generation.sampling import bounds, drawn

    logits = logits.astype(np.float64)
    sources = repeated_sources(inputs.get("input_ids"), 1)
    scores = processed(logits, inputs["decoder_input_ids"], settings.resolved(DOCUMENTED), sources)
    numbers = np.random.Generator(np.random.PCG64(seed)).random(draws)
    taken = np.concatenate([drawn(bounds(scores), number[None]) for number in numbers])
    return {"next_logits": logits, "scores": scores, "draws": taken}


def every_outcome(
    scorer: Any, batch: int, settings: Any, tolerance: float, sources: np.ndarray | None
) -> tuple[list[tuple[int, list[int], float]], bool]:
    """All results that the search of each row could have (row, tokens, margin), and whether some were dropped.

    Args:
        scorer: from a row to its scorer of prefixes (``reference.generation.reachable``).
        sources: ``input_ids``; None if the source is not text.
    """
    from reference.generation import DOCUMENTED, reachable

    found, exhausted = [], False
    for row in range(batch):
        source = None if sources is None else sources[row]
        results = reachable(scorer(row), settings, DOCUMENTED, tolerance, source=source)
        found += [(row, list(outcome.tokens), outcome.margin) for outcome in results.outcomes]
        exhausted |= results.exhausted
    return found, exhausted


def no_tuple(as_tuple: bool) -> None:
    """Raises NotImplementedError if a tuple is requested (capability ``tuple``)."""
    if as_tuple:
        raise NotImplementedError("the reference returns one dataclass and has no tuple form")


def file_report(weights: Any) -> LoadReport:
    """Unexpected and missing parameters of the weight files.

    Args:
        weights: ``reference.weights.Weights``.
    """
    report = LoadReport(missing=sorted(weights.missing), unexpected=sorted(weights.surplus))
    for name, (found, wanted) in sorted(weights.misshapen.items()):
        report.notes.append(f"{name} has shape {list(found)}, wanted is {list(wanted)}")
    report.notes += [f"{name} differs from the table it is tied to" for name in sorted(weights.tied_differs)]
    return report


def one_table(table: Any, held: Collection[str]) -> list[list[str]]:
    """Names that share one array in the model, in groups that start with the name of the array."""
    return [[group[0], *(name for name in group[1:] if name not in held)] for group in table.groups]
