"""Finds out what kind of model an object is, and wraps it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import distributions
from typing import Any

import numpy as np

from parity.backends.limits import Question
from parity.backends.protocol import LoadReport
from parity.backends.registry import limits_of
from parity.backends.user.function import FunctionModel, describe_function, extend_offer
from parity.backends.user.offer import NotUsable, Offer, accepted_inputs, all_lacking, required_inputs, unaccepted
from parity.core.backends import find_entry, library_backends
from parity.core.model_spec import ModelSpec
from parity.core.subject import Variant


def describe(
    model: Any,
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
    *,
    params: Any = None,
    rename: Callable[[str], str | None] | None = None,
    capture: Mapping[str, Any] | None = None,
) -> Any:
    """An adapter with the interface of ``CapableModel``, and ``offer``.

    Args:
        model: a ``torch.nn.Module``, a Flax module, a Keras model, or a function. A class of transformers, or one
            derived from it, is used through its whole documented interface.
        spec: of the checkpoint that it should be.
        inputs: of the documented call, for one call that shows which outputs it returns.
        params: the parameters of a Flax module.
        rename: from a PyTorch module's parameter names to canonical ones; None leaves one out.
        capture: by canonical tensor, the PyTorch submodule (or its name) whose output it is.

    Raises:
        NotUsable: it is none of these, or does not accept the main input.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from parity.backends.user.torch_module import describe_module

        return describe_module(model, spec, inputs, rename=rename, capture=capture)
    for name, given in (("rename", rename), ("capture", capture)):
        if given is not None:
            raise NotUsable(f"{name}: only for a torch.nn.Module, and the model is a {type(model).__name__}")
    kinds = {f"{each.__module__}.{each.__qualname__}" for each in type(model).__mro__}
    if any(kind.endswith("FlaxPreTrainedModel") for kind in kinds):
        return _flax_of_the_library(model, spec, params)
    if any(kind.endswith("TFPreTrainedModel") for kind in kinds):
        return _tensorflow_of_the_library(model, spec)
    if any(kind.startswith("flax.linen.") for kind in kinds):
        return _flax_module(model, spec, inputs, params)
    if any("keras" in kind and kind.endswith(".Model") for kind in kinds):
        return _keras_model(model, spec, inputs)
    if params is not None:
        raise NotUsable(f"params: only for a Flax module, and the model is a {type(model).__name__}")
    if not callable(model):
        raise NotUsable(f"a {type(model).__name__} is no module and no function")
    return describe_function(model, spec, inputs)


(TENSORFLOW,), (FLAX,) = (library_backends(framework=name) for name in ("tensorflow", "jax"))
"""The backends of the library's classes."""


def _declared(backend: str, spec: ModelSpec) -> dict[str, str]:
    """What the library's classes of a backend lack."""
    versions = {each.metadata["Name"].lower().replace("_", "-"): each.version for each in distributions()}
    entry = find_entry(backend)
    question = Question(backend, entry, Variant(), versions, spec.model_class, spec.model_types)
    limits = limits_of(entry)
    return dict(limits(question)) if limits is not None else {}


def _flax_of_the_library(model: Any, spec: ModelSpec, params: Any) -> Any:
    from parity.backends.hf.flax_backend import HfFlaxModel

    if params is not None:
        model.params = params
    found = HfFlaxModel(model, spec.config, spec.table, LoadReport(), Variant())
    found.offer = Offer(type(model).__name__, "jax", _declared(FLAX, spec), derives_from=FLAX)  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _tensorflow_of_the_library(model: Any, spec: ModelSpec) -> Any:
    from parity.backends.hf.tensorflow_backend import HfTfModel

    found = HfTfModel(model, spec.table, LoadReport())
    found.offer = Offer(type(model).__name__, "tensorflow", _declared(TENSORFLOW, spec), derives_from=TENSORFLOW)  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _flax_module(model: Any, spec: ModelSpec, inputs: Mapping[str, np.ndarray], params: Any) -> FunctionModel:
    name = type(model).__name__
    if params is None:
        raise NotUsable(f"{name} is a Flax module: pass its parameters, params=")
    variables = params if isinstance(params, Mapping) and "params" in params else {"params": params}
    return _callable(name, "jax", model.__call__, lambda **given: model.apply(variables, **given), spec, inputs)


def _keras_model(model: Any, spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> FunctionModel:
    """A functional model takes a dictionary of its input names."""
    name = type(model).__name__
    names = getattr(model, "input_names", None)
    if names:
        return _callable(name, "tensorflow", names, lambda **given: model(given, training=False), spec, inputs)
    first = next(iter(inspect.signature(model.call).parameters), "")
    mode = {"training": False} if "training" in (accepted_inputs(model.call) or ()) else {}

    def call(**given: Any) -> Any:
        # Keras wants the first argument of ``call`` by position.
        return model(given.pop(first), **given, **mode) if first in given else model(**given, **mode)

    return _callable(name, "tensorflow", model.call, call, spec, inputs)


def _callable(
    name: str,
    framework: str,
    takes: Callable[..., Any] | Collection[str],
    call: Callable[..., Any],
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
) -> FunctionModel:
    """``takes``: what has the signature of the call, or the names of its inputs, none of which is required."""
    absent = unaccepted(name, accepted_inputs(takes) if callable(takes) else frozenset(takes), spec)
    required = required_inputs(name, takes, spec) if callable(takes) else frozenset()
    offer = Offer(name, framework, all_lacking(f"{name} has no interface for it"), absent)
    found = FunctionModel(call, offer, spec, required=required)
    extend_offer(found, inputs)
    return found
