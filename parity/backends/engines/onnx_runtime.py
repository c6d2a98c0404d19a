"""ONNX Runtime: a graph exported by ``torch.onnx.export``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from parity.backends.engines.conversion import Conversion, UnusableFiles, converted
from parity.backends.engines.onnx_files import WHOLE, layout
from parity.backends.torch_util import SETS_BEFORE_USE
from parity.backends.user.function import FunctionModel
from parity.backends.user.offer import HEAD_FIELDS, Offer
from parity.core.model_spec import ModelSpec
from parity.core.subject import Variant
from reference.config import read_config

DISTRIBUTIONS = ("torch", "transformers", "onnx", "onnxscript", "onnx-ir")
"""Distributions that determine the exported files."""
SETTINGS = {
    "exporter": "torch.onnx.export, dynamo",
    "opset": 18,
    "dtype": "float32",
    "attention": "eager",
}
EXTERNAL = 1 << 30
"""Bytes of parameters from which they are written beside the graph: a protobuf message holds less than 2 GiB."""
PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider"]}


class OnnxRuntime:
    """Exports the checkpoint once, and runs the graph."""

    sets_before_use = SETS_BEFORE_USE

    def setup(self, *, threads: int, device: str, cache: Path, given: str = "", digest: str = "") -> None:
        """``given``: a folder of converted files; ``digest``: of its files, as they were when the run was planned."""
        from parity.backends.hf.torch_backend import HfTorch

        self._library = HfTorch()
        self._library.setup(threads=threads, device=device, cache=cache)
        self._threads, self._cache = threads, cache.parent
        self._given, self._digest = Path(given) if given else None, digest

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Any:
        """Exports, or reads what was exported or given.

        Raises:
            UnusableFiles: the engine cannot read a file, or it lacks an input or output.
        """
        spec = ModelSpec(model_class, cast(Any, read_config(checkpoint)), {})

        def convert(folder: Path) -> None:
            model = self._library.load(checkpoint, Variant(), device="cpu", dtype="float32", model_class=model_class)
            export(model._model, spec, folder / WHOLE)

        files = converted(
            checkpoint,
            "onnxruntime",
            {**SETTINGS, "class": model_class},
            convert,
            self._cache,
            self._given,
            distributions=DISTRIBUTIONS,
        )
        layout(files.path)
        return self._whole(files, spec, device)

    def _whole(self, files: Conversion, spec: ModelSpec, device: str) -> FunctionModel:
        session = open_session(files.path / WHOLE, self._threads, device)
        outputs = [each.name for each in session.get_outputs()]
        inputs = {each.name for each in session.get_inputs()}
        for name in HEAD_FIELDS[spec.head]:
            if name not in outputs:
                raise UnusableFiles(f"{files.path / WHOLE}: has no output {name} (its outputs: {', '.join(outputs)})")

        def call(**given: np.ndarray) -> dict[str, Any]:
            feeds = {name: array for name, array in given.items() if name in inputs}
            return gathered(dict(zip(outputs, session.run(None, feeds), strict=True)))

        offer = Offer(spec.model_class, lacking={})
        return FunctionModel(call, offer, spec)


def open_session(path: Path, threads: int, device: str) -> Any:
    """A session of ONNX Runtime from a file.

    Raises:
        UnusableFiles: it cannot be read, or needs what this version lacks.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=PROVIDERS[device])
    except Exception as error:
        cause = " ".join(str(error).split())[:300]
        version = onnxruntime.__version__
        raise UnusableFiles(f"{path}: onnxruntime {version} cannot load it: {type(error).__name__}: {cause}") from error


def gathered(found: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by documented field: ``encoder_hidden_states.0`` and those after it as one tuple."""
    fields: dict[str, Any] = {}
    for name, value in found.items():
        series, dot, index = name.rpartition(".")
        if dot and index.isdigit():
            fields[series] = (*fields.get(series, ()), value)
        else:
            fields[name] = value
    return fields


def export(model: Any, spec: ModelSpec, path: Path) -> None:
    """Writes the whole documented call, with the hidden states, as one graph with free batch and lengths."""
    import torch

    heads = HEAD_FIELDS[spec.head]
    series = {"encoder_hidden_states": spec.encoder.layers, "decoder_hidden_states": spec.decoder.layers}
    names = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")

    class Call(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, decoder_input_ids: Any, decoder_attention_mask: Any):
            found = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                decoder_input_ids=decoder_input_ids,
                decoder_attention_mask=decoder_attention_mask,
                output_hidden_states=True,
                use_cache=False,
                return_dict=True,
            )
            states = [each for name in series for each in found[name]]
            return (*(found[name] for name in heads), *states)

    batch, source, target = 2, 7, 5
    example = {}
    for name in names:
        length = target if name.startswith("decoder") else source
        example[name] = torch.ones((batch, length), dtype=torch.int64)
        if name.endswith("mask"):
            example[name][0, -1] = 0
        else:
            example[name] *= 4
    free = torch.export.Dim.DYNAMIC
    os.environ.setdefault("TORCH_ONNX_ENABLE_RICH", "0")
    torch.onnx.export(
        Call().eval(),
        (),
        str(path),
        kwargs=example,
        input_names=list(names),
        output_names=[*heads, *(f"{name}.{index}" for name, count in series.items() for index in range(count + 1))],
        dynamic_shapes={name: {0: free, 1: free} for name in names},
        opset_version=SETTINGS["opset"],
        dynamo=True,
        external_data=sum(each.numel() * 4 for each in model.parameters()) > EXTERNAL,
        verbose=False,
    )
