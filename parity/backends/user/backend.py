"""The backends of a user's model: loaded by a function of a file in a worker, or an object of the caller's process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from parity.backends.user.describe import describe
from parity.backends.user.offer import NotUsable
from parity.cases.standard import documented_call
from parity.core.model_spec import ModelSpec
from parity.core.subject import Variant
from reference.config import read_config

ARGUMENTS = ("params", "rename", "capture")
"""What a file's function may return beside the model, by name, as a dictionary."""


def _spec_of(checkpoint: Path, model_class: str) -> ModelSpec:
    # A class that is judged here has one of the two kinds of config; inspection refused any other.
    return ModelSpec(model_class, cast(Any, read_config(checkpoint)), {})


class ModelFile:
    """Calls a function of a Python file, which returns the model."""

    def setup(self, *, threads: int, device: str, cache: Path, file: str, function: str) -> None:
        """``file``, ``function``: imported on the first load, so that an exception in it is a result of that load."""
        self._file, self._function = Path(file), function
        sys.path.insert(0, str(self._file.parent))

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Any:
        """Calls ``function(checkpoint)``; its exceptions propagate unchanged.

        Raises:
            NotUsable: the file has no such function, or what it returns is no model.
        """
        spec = _spec_of(checkpoint, model_class)
        return self._described(checkpoint, spec, documented_call(spec))

    def describe(self, checkpoint: Path, model_class: str) -> dict[str, Any]:
        """What the model offers, in JSON types."""
        spec = _spec_of(checkpoint, model_class)
        return asdict(self._described(checkpoint, spec, documented_call(spec)).offer)

    def _described(self, checkpoint: Path, spec: ModelSpec, inputs: Mapping[str, np.ndarray]) -> Any:
        module = _imported(self._file)
        make = getattr(module, self._function, None)
        if not callable(make):
            raise NotUsable(f"{self._file}: has no function {self._function}")
        made, more = make(checkpoint), {}
        if isinstance(made, dict) and "model" in made:
            more = {name: value for name, value in made.items() if name != "model"}
            unknown = sorted(set(more) - set(ARGUMENTS))
            if unknown:
                raise NotUsable(
                    f"{self._file}: {self._function} returned {unknown[0]}; known are {', '.join(ARGUMENTS)}"
                )
            made = made["model"]
        return describe(evaluating(made), spec, inputs, **more)


class CallersModel:
    """The object that ``parity.check`` was given, in its own process.

    Args:
        adapter: as ``describe`` returned it.
    """

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Nothing: the process is the caller's."""

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Any:
        return self._adapter


def evaluating(model: Any) -> Any:
    """A PyTorch module in evaluation mode; anything else unchanged."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        try:
            model.eval()
        except NotImplementedError:  # a module of torch.export has one mode, and refuses
            pass
    return model


def _imported(file: Path) -> Any:
    """The file as a module of its own; imported once in a process."""
    name = f"parity_model_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise NotUsable(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
