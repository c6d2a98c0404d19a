"""The float64 reference with the weights of the original checkpoint, beside a checkpoint whose weights are rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.backends.reference.torch_backend import ReferenceTorch
from parity.core.subject import Variant


class OriginalWeights(ReferenceTorch):
    """Computes what the oracle does, with other weights: its errors are what rounding them moves."""

    @staticmethod
    def setup_for(tasks: Sequence[Mapping[str, Any]], *, float64_limit: int | None) -> dict[str, int]:
        return ReferenceTorch.setup_for(tasks, float64_limit=float64_limit)

    def setup(self, *, threads: int, device: str, cache: Path, by_layer_above: int | None = None, **about: str) -> None:
        """
        Args:
            about: ``source``, the directory of the original checkpoint; ``quantised`` and ``engine`` are not used.
        """
        super().setup(threads=threads, device=device, cache=cache, by_layer_above=by_layer_above)
        self._source = Path(about["source"])

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> Any:
        """Loads the original weights in float64, whatever ``dtype``."""
        return super().load(self._source, variant, device=device, dtype="float64", model_class=model_class)
