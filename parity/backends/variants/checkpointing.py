"""Gradients with ``gradient_checkpointing_enable()``: layers are computed again in the backward pass.

The library checkpoints in training mode only. All dropout probabilities are therefore 0, and the mode is training
during the call alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.backends.protocol import Field
from parity.core.subject import Variant

PROBABILITIES = ("dropout", "activation_dropout", "attention_dropout", "layerdrop")


class Checkpointing(HfTorch):
    """The backend."""

    def load(self, checkpoint: Path, variant: Variant, **options: Any) -> CheckpointingModel:
        found = super().load(checkpoint, variant, **options)
        for module in found._model.modules():
            for name in PROBABILITIES:
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)
        return CheckpointingModel(found._model, found._table, found.report, variant, found._threads)


class CheckpointingModel(HfTorchModel):
    """A loaded model."""

    def reduced_gradients(
        self, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
    ) -> tuple[Field, dict[str, Any]]:
        """In training mode, in which alone layers are checkpointed."""
        self._model.gradient_checkpointing_enable()
        self._model.train()
        try:
            return super().reduced_gradients(inputs, keep)
        finally:
            self._model.eval()
            self._model.gradient_checkpointing_disable()
