"""A function, or any callable, that returns logits or a mapping of documented outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from parity.backends.protocol import Field, LoadReport
from parity.backends.user.offer import (
    HEAD_FIELDS,
    NotUsable,
    Offer,
    accepted_inputs,
    all_lacking,
    in_one_process,
    named_fields,
    required_inputs,
    unaccepted,
)
from parity.core.model_spec import ModelSpec
from parity.core.subject import DTYPES

OUTPUT_ORDER = (
    "loss",
    "logits",
    "start_logits",
    "end_logits",
    "last_hidden_state",
    "decoder_hidden_states",
    "encoder_last_hidden_state",
    "encoder_hidden_states",
)
"""The fields that are compared, in documented order."""


class FunctionModel:
    """A callable with documented argument names.

    Args:
        function: called with keywords only; arrays are NumPy's unless ``to_input`` converts them.
        offer: what it can be asked for.
        to_input: from a NumPy array (int64, or float32) to what the function takes.
        parameters: yields canonical names and values, if the offer has ``load``.
        around: a context manager entered around each call.
        required: its arguments without a default. A mask among them that a call does not have is passed as ones, which
            is what its absence means.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        offer: Offer,
        spec: ModelSpec,
        *,
        to_input: Callable[[np.ndarray], Any] = lambda array: array,
        parameters: Callable[[], Iterator[tuple[str, np.ndarray]]] | None = None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        states: Callable[[], Mapping[str, Any]] | None = None,
        report: LoadReport | None = None,
        required: frozenset[str] = frozenset(),
    ) -> None:
        self._function, self.offer, self.spec, self._to_input = in_one_process(function), offer, spec, to_input
        self._parameters, self._around, self._states = parameters, around, states
        self._required = required
        self.class_name = offer.class_name
        self.report = report or LoadReport()

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        if self._parameters is None:
            raise LookupError("a function has no parameters that can be read")
        return self._parameters()

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """The fields that the offer has, in documented order."""
        given = {name: self._to_input(np.asarray(array)) for name, array in self._completed(inputs).items()}
        with self._around():
            output = self._function(**given)
        labelled = bool({"labels", "start_positions"} & set(inputs))
        found = {**named_fields(output, self.spec, labelled), **(self._states() if self._states else {})}
        if "encoder_hidden_states" in found and "encoder_last_hidden_state" not in found:
            found["encoder_last_hidden_state"] = found["encoder_hidden_states"][-1]
        return {name: found[name] for name in self._offered_fields(labelled) if name in found}

    def _completed(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The inputs with the masks that it requires.

        Raises:
            NotUsable: it requires another input that the call does not have.
        """
        found = dict(inputs)
        for name in sorted(self._required - set(inputs)):
            ids = name.removesuffix("attention_mask") + "input_ids"
            if not name.endswith("attention_mask") or ids not in inputs:
                raise NotUsable(f"{self.class_name} requires {name}, which this call does not have")
            found[name] = np.ones_like(inputs[ids])
        return found

    def _offered_fields(self, labelled: bool) -> list[str]:
        wanted = [*HEAD_FIELDS[self.spec.head], *(["loss"] if labelled else [])]
        if self.offer.offers("hidden_states"):
            wanted += [name for name in OUTPUT_ORDER if "hidden_state" in name]
        return [name for name in OUTPUT_ORDER if name in wanted]

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)


def on_host(value: Any) -> tuple[np.ndarray, str]:
    """An array of any framework as NumPy's, and the dtype it had; bfloat16 is widened to float32.

    Raises:
        NotUsable: it is no array of numbers.
    """
    if hasattr(value, "detach"):
        from parity.backends.torch_util import on_host as of_torch

        return of_torch(value)
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    dtype = "bfloat16" if array.dtype.name == "bfloat16" else str(array.dtype)
    if array.dtype == object or array.dtype.kind in "USMm":
        raise NotUsable(f"an output is a {type(value).__name__}, not an array of numbers")
    return (array.astype(np.float32) if dtype == "bfloat16" else array), dtype


def describe_function(function: Callable[..., Any], spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> FunctionModel:
    """Wraps a function after one call with these inputs.

    Raises:
        NotUsable: it does not accept the main input.
    """
    name = getattr(function, "__name__", type(function).__name__)
    accepted = accepted_inputs(function)
    absent = unaccepted(name, accepted, spec)
    alone = f"{name} is a function"
    lacking = all_lacking(alone)
    takes_labels = accepted is not None and "labels" in accepted and spec.head in ("language", "labels")
    if takes_labels:
        del lacking["labels"]
    else:
        lacking["labels"] = f"{name} takes no labels"
    offer = Offer(name, "", lacking, absent)
    required = required_inputs(name, function, spec)
    model = FunctionModel(function, offer, spec, required=required)
    extend_offer(model, inputs)
    return model


def extend_offer(model: FunctionModel, inputs: Mapping[str, np.ndarray]) -> None:
    """Adds hidden states to a model's offer if a call returns those of every layer, and takes the dtype of its output
    if the framework's parameters do not have one. The offer is unchanged if the call raises.

    An exception is a result of the cases, which report it.
    """
    offer = model.offer
    with_states = replace(offer, lacking={name: why for name, why in offer.lacking.items() if name != "hidden_states"})
    model.offer = with_states
    try:
        found = model.call({name: array for name, array in inputs.items() if name not in offer.inputs})
        dtype = on_host(found[HEAD_FIELDS[model.spec.head][0]])[1]
    except Exception:
        model.offer = offer
        return
    best = with_states if _has_every_state(found, model.spec) else offer
    model.offer = best if best.framework == "torch" or dtype not in DTYPES else best.computing_in(dtype)


def _has_every_state(found: Mapping[str, Any], spec: ModelSpec) -> bool:
    if spec.decoder_only:
        return False
    layers = {"encoder_hidden_states": spec.encoder.layers, "decoder_hidden_states": spec.decoder.layers}
    return all(len(found.get(name, ())) == count + 1 for name, count in layers.items())
