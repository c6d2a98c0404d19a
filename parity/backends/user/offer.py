"""What a user's model offers: the documented inputs it accepts, the outputs it returns, and why it lacks the rest."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from parity.backends.capabilities import DOCUMENTED, INPUTS, OPERATIONS, OTHER_CALLS, OTHER_CLASSES, SAVING
from parity.backends.protocol import UnexpectedReturn
from parity.core.model_spec import ModelSpec
from parity.core.subject import DEVICES, DTYPES

OPTIONAL_INPUTS = ("attention_mask", "decoder_attention_mask", "decoder_input_ids", "encoder_attention_mask")
"""Documented inputs that a model may not take. Cases are run without a mask that is not taken."""
HEAD_FIELDS = {
    "language": ("logits",),
    "none": ("last_hidden_state",),
    "labels": ("logits",),
    "span": ("start_logits", "end_logits"),
}
"""The output fields of each head, in documented order."""


@dataclass(frozen=True)
class Offer:
    """What a model can be asked for.

    Attributes:
        class_name: the name shown for its class.
        framework: ``torch``, ``tensorflow`` or ``jax``; empty for a function.
        lacking: every other capability of ``parity.backends.capabilities.OPERATIONS``, with the reason.
        inputs: documented inputs that it does not accept, with the reason.
        dtype: of its floating-point parameters; ``float32`` where it has none.
        device: where it computes, ``cpu`` or ``cuda``.
        derives_from: the backend whose classes it is one of, or derived from; empty for any other class.
        attention: the attention implementation of a class of transformers, one of ``ATTENTIONS``.
    """

    class_name: str
    framework: str = ""
    lacking: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    dtype: str = "float32"
    device: str = "cpu"
    derives_from: str = ""
    attention: str = "eager"

    def __post_init__(self) -> None:
        reason = "not tested for a model of your own"
        for word in (*SAVING, *DOCUMENTED, *OTHER_CLASSES, *OTHER_CALLS):
            self.lacking.setdefault(word, reason)
        self.lacking.setdefault("layerwise", reason)
        for word in (*DTYPES, *DEVICES):
            if word not in (self.dtype, self.device):
                self.lacking.setdefault(word, f"the model computes in {self.dtype} on {self.device}")

    def computing_in(self, dtype: str) -> Offer:
        """The same in another dtype."""
        return replace(
            self, dtype=dtype, lacking={word: why for word, why in self.lacking.items() if word not in DTYPES}
        )

    def offers(self, word: str) -> bool:
        return word not in self.lacking


P = ParamSpec("P")
T = TypeVar("T")


def in_one_process(call: Callable[P, T]) -> Callable[P, T]:
    """Ends a copy of this process in which a call returns: a model that forks would otherwise run every case twice."""

    @wraps(call)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        process = os.getpid()
        try:
            return call(*arguments, **named)
        finally:
            if os.getpid() != process:
                os._exit(0)

    return run


class NotUsable(UnexpectedReturn, ValueError):
    """An object is not a model that can be checked; the message says what is missing. Raised in a case, it is a result
    of the model."""


def _arguments(function: Callable[..., Any]) -> dict[str, bool] | None:
    """Whether each argument is required, by name; None if any name is accepted, or the names are unknown."""
    graph = getattr(function, "structured_input_signature", None)  # a signature of TensorFlow's SavedModel
    if isinstance(graph, tuple) and len(graph) == 2 and isinstance(graph[1], Mapping):
        return dict.fromkeys(graph[1], True)
    script = getattr(getattr(function, "schema", None), "arguments", None)  # a method of TorchScript
    if script is not None:
        return {each.name: not each.has_default_value() for each in script if each.name != "self"}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    named = [each for each in parameters if each.kind not in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL)]
    return {each.name: each.default is each.empty for each in named}


def accepted_inputs(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names of the arguments that a callable accepts; None if it accepts any name, or they are unknown."""
    found = _arguments(function)
    return None if found is None else frozenset(found)


KNOWN_INPUTS = (*OPTIONAL_INPUTS, "encoder_hidden_states", "labels", "start_positions", "end_positions")


def required_inputs(name: str, function: Callable[..., Any], spec: ModelSpec) -> frozenset[str]:
    """Arguments without a default, apart from the main input.

    Raises:
        NotUsable: one of them is not a documented input, so that no call is possible.
    """
    arguments = _arguments(function) or {}
    found = {argument for argument, required in arguments.items() if required and argument != spec.main_input}
    if unknown := sorted(found - set(KNOWN_INPUTS)):
        raise NotUsable(f"{name} has an argument {unknown[0]} without a default, which is not a documented input")
    return frozenset(found)


def unaccepted(name: str, accepted: frozenset[str] | None, spec: ModelSpec) -> dict[str, str]:
    """Documented inputs that are not accepted, with the reason.

    Raises:
        NotUsable: not even the main input is accepted.
    """
    if accepted is None:
        return {}
    if spec.main_input not in accepted:
        found = ", ".join(sorted(accepted)) or "none"
        raise NotUsable(f"{name} has no argument {spec.main_input} (its arguments: {found})")
    return {each: f"{name} takes no {each}" for each in OPTIONAL_INPUTS if each not in accepted}


def all_lacking(reason: str, *words: str) -> dict[str, str]:
    """These capabilities, or all of a model's operations, with one reason."""
    return dict.fromkeys(words or [word for word in OPERATIONS if word not in INPUTS], reason)


def named_fields(output: Any, spec: ModelSpec, labelled: bool) -> dict[str, Any]:
    """A model's output as a mapping of documented field names; fields that are None are left out.

    A tuple is read in documented order: the loss first if labels were passed, then the head's output. An array alone is
    the head's output, and so is the only value of a mapping that has no documented name (SavedModel's ``output_0``).

    Raises:
        NotUsable: the output is neither an array, nor a tuple, nor a mapping or object with the head's field.
    """
    wanted = HEAD_FIELDS[spec.head]
    if isinstance(output, Mapping):
        if len(output) == len(wanted) == 1 and next(iter(output)).startswith("output"):
            return dict(zip(wanted, output.values(), strict=True))
        return {name: value for name, value in output.items() if value is not None}
    if isinstance(output, (tuple, list)):
        names = (*(("loss",) if labelled and spec.head != "none" else ()), *wanted)
        return dict(zip(names, output, strict=False))
    if hasattr(output, "shape"):
        return {wanted[0]: output}
    held = {name: getattr(output, name) for name in (*wanted, "loss") if getattr(output, name, None) is not None}
    if held:
        return held
    raise NotUsable(f"the output is a {type(output).__name__} without {wanted[0]}: return an array, a tuple or a dict")
