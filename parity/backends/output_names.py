"""Maps a library's output to canonically named arrays, and to facts about its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ToNumpy = Callable[[Any], tuple[np.ndarray, str]]

_SERIES = {
    "encoder_hidden_states": "encoder.hidden",
    "encoder_attentions": "encoder.attention",
    "decoder_hidden_states": "decoder.hidden",
    "decoder_attentions": "decoder.attention",
    "hidden_states": "decoder.hidden",
    "attentions": "decoder.attention",
    "cross_attentions": "decoder.cross_attention",
}
_SINGLE = {
    "encoder_last_hidden_state": "encoder.last",
    "last_hidden_state": "decoder.last",
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
    "loss": "loss",
}
"""Of a decoder-only model ``hidden_states`` and ``attentions`` are the decoder's; a bare encoder never runs."""
_WITHIN_LAYER = ("hidden", "attention", "cross_attention")
_WHOLE = {
    "encoder.last": (1,),
    "decoder.last": (3,),
    "logits": (3,),
    "start_logits": (3,),
    "end_logits": (4,),
    "loss": (5,),
}


def flatten(
    fields: Mapping[str, Any], to_numpy: ToNumpy
) -> tuple[dict[str, np.ndarray], dict[str, str], list[dict[str, Any]]]:
    """Arrays under the names of ``parity.core.tensors``, in data-flow order, and one fact per field.

    A field that is not in the table (the cache) yields a fact and no array, so that every field is recorded.

    Args:
        fields: as ``Model.call`` returned them: arrays, or tuples of arrays with one per layer.
        to_numpy: ``Model.to_numpy``.

    Returns:
        The arrays, the dtype each had in its framework, and in the library's own order facts
        ``{"field", "kind": "array" | "tuple" | "other", "type", "shapes", "dtypes"}``.
    """
    arrays: dict[str, np.ndarray] = {}
    dtypes: dict[str, str] = {}
    facts = []
    for field, value in fields.items():
        parts = _named_parts(field, value)
        kind = "other" if parts is None else "tuple" if isinstance(value, (tuple, list)) else "array"
        fact: dict[str, Any] = {"field": field, "kind": kind, "type": type(value).__name__, "shapes": [], "dtypes": []}
        for name, part in parts or ():
            arrays[name], dtypes[name] = to_numpy(part)
            fact["shapes"].append(list(arrays[name].shape))
            fact["dtypes"].append(dtypes[name])
        facts.append(fact)
    ordered = sorted(arrays, key=_flow)
    return {name: arrays[name] for name in ordered}, {name: dtypes[name] for name in ordered}, facts


def _named_parts(field: str, value: Any) -> list[tuple[str, Any]] | None:
    """The field's arrays with their canonical names; None for a field of another form or an unknown one."""
    is_series = isinstance(value, (tuple, list))
    if field in _SINGLE and not is_series:
        return [(_SINGLE[field], value)]
    # A tuple that contains None (a library's "not computed") is not a series of arrays.
    if field in _SERIES and is_series and all(part is not None for part in value):
        return [(f"{_SERIES[field]}.{index}", part) for index, part in enumerate(value)]
    return None


def _flow(name: str) -> tuple[int, ...]:
    """Sort key of a canonical name: the order of ``parity.core.tensors.forward_tensors``."""
    if name in _WHOLE:
        return _WHOLE[name]
    stack, kind, index = name.split(".")
    return (0 if stack == "encoder" else 2, int(index), _WITHIN_LAYER.index(kind))
