"""The library's PyTorch classes with one mutation of the library's source, selected by the variant
``eager+mutant-MODULE-NUMBER``; ``eager+mutant-none`` has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.backends.mutants.base import UNCHANGED
from parity.backends.mutants.library_source import apply
from parity.core.subject import Variant


class MutatedTorch(HfTorch):
    """``hf-torch``. The mutation is in force from one load to the next, so during every call of the loaded model."""

    def __init__(self) -> None:
        self._undo: Callable[[], None] = lambda: None

    def load(self, checkpoint: Path, variant: Variant, **how: Any) -> HfTorchModel:
        """Raises LookupError if the library has no such mutation, and any exception of ``from_pretrained``."""
        self.release()
        if variant.mutant != UNCHANGED:
            self._undo = apply(variant.mutant)
        return super().load(checkpoint, replace(variant, mutant=""), **how)

    def release(self) -> None:
        """Undoes the mutation."""
        self._undo()
        self._undo = lambda: None
