"""OpenVINO: the graph that ``torch.onnx.export`` writes, compiled for the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parity.backends.engines.conversion import UnusableFiles
from parity.backends.engines.onnx_files import WHOLE, layout
from parity.backends.engines.onnx_runtime import OnnxRuntime


class OpenVino(OnnxRuntime):
    """Exports the checkpoint as ``OnnxRuntime`` does, and runs the same file."""

    def _session(self, path: Path, device: str) -> Any:
        return Compiled(path, self._threads)


class Compiled:
    """A compiled graph that is called as a session of ONNX Runtime is.

    It computes in float32 (``INFERENCE_PRECISION_HINT``): without the hint OpenVINO chooses bfloat16 on processors that
    have it.

    Raises:
        UnusableFiles: OpenVINO cannot read or compile the file.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        try:
            core = openvino.Core()
            graph = core.read_model(str(path))
            # A compiled port also has the names of tensors that an optimisation merged with it.
            self._inputs = [_Named(port.get_any_name()) for port in graph.inputs]
            self._outputs = [_Named(port.get_any_name()) for port in graph.outputs]
            self._model = core.compile_model(graph, "CPU", options)
        except Exception as error:
            cause = " ".join(str(error).split())[:300]
            raise UnusableFiles(f"{path}: openvino {openvino.__version__} cannot load it: {cause}") from error

    def get_inputs(self) -> list[_Named]:
        return self._inputs

    def get_outputs(self) -> list[_Named]:
        return self._outputs

    def run(self, names: None, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output, in the order of ``get_outputs``."""
        found = self._model(dict(feeds))
        return [np.array(found[each]) for each in self._model.outputs]


class _Named(NamedTuple):
    """An input or output."""

    name: str


def examine(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Fields of the engine's row for given files: none.

    Raises:
        UnusableFiles: they are not one graph of the whole model.
    """
    if layout(folder) != "whole":
        raise UnusableFiles(f"{folder}: openvino is run on one graph of the whole model, {WHOLE}")
    return {}
