"""A cache of fixed size: ``cache_implementation="static"`` in ``generate``, ``StaticCache`` in decoding by steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.hf.torch_backend import HfTorch, HfTorchModel
from parity.backends.protocol import Reorder, Step
from parity.core.subject import Variant


class StaticCache(HfTorch):
    """The backend."""

    def load(self, checkpoint: Path, variant: Variant, **options: Any) -> StaticCacheModel:
        """The setting is part of the model's generation config, so that it applies without arguments too."""
        found = super().load(checkpoint, variant, **options)
        found._model.generation_config.cache_implementation = "static"
        return StaticCacheModel(found._model, found._table, found.report, variant, found._threads)


class StaticCacheModel(HfTorchModel):
    """A loaded model."""

    _room = 0

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        """With room for all tokens from the first call on; the steps have the tokens fed so far."""
        self._room, end = sum(sizes), 0
        for size, step in zip(sizes, super().decode_steps(inputs, sizes, reorder), strict=True):
            end += size
            yield step._replace(
                cache=tuple((key[:, :, :end], value[:, :, :end], *cross) for key, value, *cross in step.cache)
            )

    def _forward(self, tensors: dict[str, Any], *, return_dict: bool = True, gradients: bool = False) -> Any:
        if "past_key_values" in tensors and tensors["past_key_values"] is None:
            tensors = {**tensors, "past_key_values": self._empty(tensors["encoder_outputs"][0].shape[1])}
        return super()._forward(tensors, return_dict=return_dict, gradients=gradients)

    def _empty(self, source: int) -> Any:
        from transformers.cache_utils import EncoderDecoderCache, StaticCache

        own, cross = (StaticCache(config=self._model.config, max_cache_len=room) for room in (self._room, source))
        return EncoderDecoderCache(own, cross)
