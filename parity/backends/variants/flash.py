"""FlashAttention 2 (``attn_implementation="flash_attention_2"``), on CUDA in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.core.subject import Variant


class Flash(HfTorch):
    """The backend."""

    def load(self, checkpoint: Path, variant: Variant, **options: Any) -> HfTorchModel:
        """The attention is changed after the load, which checks that the class supports it."""
        model = super().load(checkpoint, Variant("sdpa", default_precision=variant.default_precision), **options)
        model._model.set_attn_implementation("flash_attention_2")
        return model
