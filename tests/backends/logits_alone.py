"""A stranger's backend that returns logits and nothing else, under a name that begins as the library's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.backends.capabilities import WORDS
from parity.backends.protocol import Field
from parity.backends.reference.torch_backend import ReferenceTorch
from parity.core.subject import DEVICES, DTYPES

CAN = ("float32", "cpu")


class LogitsAlone(ReferenceTorch):
    """Right, since the reference computes it; what it says it lacks raises."""

    lacking = {word: "it returns logits alone" for word in WORDS if word not in CAN}  # noqa: RUF012

    def load(self, *arguments: Any, **keywords: Any) -> Logits:
        return Logits(super().load(*arguments, **keywords))


class Logits:
    class_name = "Logits"

    def __init__(self, model: Any) -> None:
        self._model, self.report = model, model.report

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        assert not as_tuple
        found = self._model.call(inputs)
        return {name: found[name] for name in ("logits", "start_logits", "end_logits") if name in found}

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return self._model.to_numpy(value)

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        raise AssertionError("it said that it cannot be asked to load")


assert set(CAN) <= {*DTYPES, *DEVICES}
