"""The library's classes with a fault, selected by the variant.

``eager+mutant-MODULE-NUMBER`` has one mutation of the library's source, ``eager+mutant-ignores.METHOD.ARGUMENT``
ignores one documented argument, ``eager+mutant-none`` has no fault.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.backends.hf.flax_backend import HfFlax
from parity.backends.hf.tensorflow_backend import HfTf
from parity.backends.hf.torch_backend import HfTorch
from parity.backends.mutants.base import UNCHANGED
from parity.backends.mutants.library_source import apply
from parity.core.subject import Variant

IGNORES = "ignores."


class _Mutated:
    """A mutation is in force from one load to the next, so during every call of the loaded model."""

    def __init__(self) -> None:
        self._undo: Callable[[], None] = lambda: None

    def load(self, checkpoint: Path, variant: Variant, **how: Any) -> Any:
        """Raises LookupError if the library has no such mutation, and any exception of ``from_pretrained``."""
        self.release()  # what was compiled before the change would otherwise be used after it
        fault = variant.mutant
        if fault != UNCHANGED and not fault.startswith(IGNORES):
            self._undo = apply(fault)
        loaded = self._original().load(checkpoint, replace(variant, mutant=""), **how)
        if fault.startswith(IGNORES):
            _, method, argument = fault.split(".")
            ignore(loaded._model, method, argument)
        return loaded

    def release(self) -> None:
        """Undoes the mutation."""
        self._undo()
        self._undo = lambda: None
        if hasattr(self._original(), "release"):
            self._original().release()

    def _original(self) -> Any:
        """The unmodified backend's methods, of the other base class."""
        return super()


class MutatedTorch(_Mutated, HfTorch):
    """``hf-torch``."""


class MutatedTensorFlow(_Mutated, HfTf):
    """``hf-tf``."""


class MutatedFlax(_Mutated, HfFlax):
    """``hf-flax``."""


def ignore(model: Any, method: str, argument: str) -> None:
    """Makes a method of a model run as if an argument had its default, whatever it is given.

    For ``generate`` the default is that of ``GenerationConfig``, and the model's own setting is ignored too.
    """
    original = getattr(model, method)
    if method != "generate":
        parameter = inspect.signature(original).parameters[argument]

        @functools.wraps(original)  # the library reads the signature of its methods
        def called(*given: Any, **named: Any) -> Any:
            bound = inspect.signature(original).bind(*given, **named)
            bound.arguments.pop(argument, None)
            if parameter.default is not parameter.empty:
                bound.arguments[argument] = parameter.default
            return original(*bound.args, **bound.kwargs)

        if method.startswith("__"):
            # Python looks a special method up on the class.
            kind = type(model)
            own = {method: lambda self, *given, **named: called(*given, **named), "__module__": kind.__module__}
            model.__class__ = type(kind.__name__, (kind,), own)
        else:
            setattr(model, method, called)
        return

    @functools.wraps(original)
    def generated(*given: Any, **named: Any) -> Any:
        named.pop(argument, None)
        own = model.generation_config
        model.generation_config = copy.deepcopy(own)
        if hasattr(own, argument):
            setattr(model.generation_config, argument, getattr(type(own)(), argument))
        try:
            return original(*given, **named)
        finally:
            model.generation_config = own

    model.generate = generated
