"""Documented behaviour shared by the three adapters of the Hugging Face library: signatures, and joining halves."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from parity.backends.hf import common

FLAGS = ("is_decoder", "add_cross_attention")
HALVES = ("encoder", "decoder")


def signatures(kind: type, methods: Iterable[str]) -> dict[str, Any]:
    """The parameters of each method in order: name, default, and whether it is required.

    Methods that the class does not have are omitted. ``**`` is last if other keyword arguments are accepted.
    """
    return {name: _parameters(getattr(kind, name)) for name in methods if hasattr(kind, name)}


def _parameters(method: Any) -> list[list[Any]]:
    found = []
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            found.append(["**", None, False])
        elif parameter.name not in ("self", "cls") and parameter.kind is not parameter.VAR_POSITIONAL:
            must = parameter.default is parameter.empty
            found.append([parameter.name, None if must else common.plain(parameter.default), must])
    return found


@contextmanager
def halves(checkpoint: Path) -> Iterator[tuple[str, str]]:
    """Saves both halves of a composition as separate directories, in the format of their PyTorch classes.

    The parameters are read and named without any framework, so that the halves are those of the file: the decoder with
    its cross-attention, and without the projection between two widths, which belongs to neither half.
    """
    from reference.config import CONFIG_FILE, read_config, read_json
    from reference.weights import read_weights

    raw, weights = read_json(checkpoint, CONFIG_FILE), read_weights(checkpoint, read_config(checkpoint))
    with tempfile.TemporaryDirectory(prefix="parity-halves-") as folder:
        for half in HALVES:
            directory = Path(folder) / half
            directory.mkdir()
            (directory / CONFIG_FILE).write_text(json.dumps(raw[half]), encoding="utf-8")
            own = {
                name.removeprefix(f"{half}."): np.ascontiguousarray(weights[name])
                for name in weights
                if name.startswith(f"{half}.")
            }
            save_file(own, directory / "model.safetensors", metadata={"format": "pt"})
        yield str(Path(folder) / "encoder"), str(Path(folder) / "decoder")


def in_training(model: Any) -> bool:
    """Whether any module of a PyTorch composition's halves is in training mode, so that dropout is active."""
    return any(module.training for half in HALVES for module in getattr(model, half).modules())


class Documented:
    """Methods common to the loaded models of all three frameworks."""

    _model: Any

    def signatures(self, methods: Iterable[str]) -> dict[str, Any]:
        """Parameters of the methods of the class."""
        return signatures(type(self._model), methods)

    def flags(self) -> Mapping[str, Any]:
        """Whether the decoder of a composition is causal, and whether it has cross-attention."""
        return {flag: getattr(self._model.config.decoder, flag, None) for flag in FLAGS}
