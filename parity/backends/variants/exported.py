"""``torch.export`` of the documented call: a graph for each set of inputs, with dynamic batch and lengths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.backends.protocol import Field
from parity.backends.torch_util import compute_as
from parity.core.subject import Variant

INPUTS = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "labels")
SOURCE, TARGET, ROWS = 5, 4, 3
"""Sizes of the exported call. They differ, so that none is taken for another, and exceed 1, which is a constant in a
graph."""


class Exported(HfTorch):
    """The backend."""

    def load(self, checkpoint: Path, variant: Variant, **options: Any) -> ExportedModel:
        """Nothing is exported before the first call."""
        found = super().load(checkpoint, variant, **options)
        return ExportedModel(found._model, found._table, found.report, variant, found._threads)


class ExportedModel(HfTorchModel):
    """A loaded model, whose calls run exported graphs."""

    def __init__(self, *loaded: Any) -> None:
        super().__init__(*loaded)
        self._graphs: dict[tuple[str, ...], Any] = {}

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        import torch

        compute_as(self._variant, self._threads)
        tensors = self._tensors(inputs)
        names = tuple(name for name in INPUTS if name in tensors)
        if names not in self._graphs:
            self._graphs[names] = self._exported(names)
        with torch.no_grad():
            return self._graphs[names](**tensors)

    def _exported(self, names: tuple[str, ...]) -> Any:
        import torch
        from torch.export import Dim, export

        sizes = {"input_ids": SOURCE, "attention_mask": SOURCE}
        example = {name: torch.ones(ROWS, sizes.get(name, TARGET), dtype=torch.int64) for name in names}
        example = {name: tensor.to(self._model.device) for name, tensor in example.items()}
        dynamic = {name: {0: Dim.AUTO, 1: Dim.AUTO} for name in names}
        with torch.no_grad():
            return export(_named(self._model, self._output_options()), (), example, dynamic_shapes=dynamic).module()


def _named(model: Any, options: Mapping[str, bool]) -> Any:
    """A module with the documented inputs that returns a dictionary; the graph of a cache cannot be returned."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            decoder_input_ids: Any = None,
            decoder_attention_mask: Any = None,
            labels: Any = None,
        ) -> dict[str, Any]:
            given = (input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, labels)
            tensors = {name: each for name, each in zip(INPUTS, given, strict=True) if each is not None}
            return dict(self.model(**tensors, **options, use_cache=False, return_dict=True).items())

    return Named().eval()
