"""What a subject's values equal where they are not the documented ones: evidence for a known issue (``Entry.equals``).

A known issue that states which values it leads to hides no second fault of the same cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from parity.core.case import IGNORED
from parity.core.model_spec import ModelSpec
from parity.judge.results import Decided

Inputs = Mapping[str, Any]

DEFAULT_MASK = "loss.default-mask"
PADDING_SEEN = f"{DEFAULT_MASK}.padding-seen"
"""The oracle's call with the inputs of ``DEFAULT_MASK`` and a decoder mask of ones."""


def _padding_ignored(model_spec: ModelSpec, inputs: Inputs) -> Inputs:
    labels = np.array(inputs["labels"])
    return {**inputs, "labels": np.where(labels == model_spec.pad, IGNORED, labels)}


def _negative_clamped(model_spec: ModelSpec, inputs: Inputs) -> Inputs:
    return {**inputs, **{name: np.maximum(inputs[name], 0) for name in ("start_positions", "end_positions")}}


OTHER_LOSSES: dict[str, tuple[str, Callable[[ModelSpec, Inputs], Inputs]]] = {
    "padding_ignored": ("labels", _padding_ignored),
    "negative_clamped": ("start_positions", _negative_clamped),
}
"""By name, an input that the case must have, and the inputs of whose documented loss it is: labels that are the padding
token ignored as -100 is; negative positions of an answer taken as 0."""


def other_inputs(model_spec: ModelSpec, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """Each name of ``OTHER_LOSSES`` that a case's inputs allow, with the changed inputs."""
    for name, (needed, change) in OTHER_LOSSES.items():
        if needed in inputs:
            yield name, change(model_spec, inputs)


def explained(results: Iterable[Decided], equals: Callable[[], list[str]]) -> Iterator[Decided]:
    """Adds to the evidence of a failure what the values equal instead; ``equals`` is called only for one."""
    found = list(results)
    named = {} if all(result.ok for result in found) else {"equals": equals()}
    yield from (replace(result, evidence={**result.evidence, **named}) for result in found)
