"""The weight files, read without any framework: the values that every backend must load. It has no forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from parity.backends.protocol import LoadReport
from parity.backends.reference import files
from parity.backends.reference.outputs import file_report
from parity.core.subject import Variant
from reference.weights import Weights


class WeightFile:
    """The pseudo-backend ``file``."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Does nothing: no setup is needed."""

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> WeightFileModel:
        """Raises ``reference.errors.CheckpointError`` if a file cannot be read; the report lists what is missing."""
        from reference.config import read_config
        from reference.weights import read_weights

        weights = read_weights(checkpoint, read_config(checkpoint), model_class=model_class)
        report = file_report(weights)
        report.route = weights.format
        return WeightFileModel(checkpoint, weights, report, dtype, model_class)


class WeightFileModel:
    """An opened set of weight files."""

    def __init__(self, checkpoint: Path, weights: Weights, report: LoadReport, dtype: str, class_name: str) -> None:
        self._checkpoint, self._weights, self._dtype = checkpoint, weights, dtype
        self.report, self.class_name = report, class_name

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """The file's values in the requested dtype, rounded to nearest even; one tensor in memory at a time."""
        from reference.weights import cast

        for name in self._weights:
            yield name, cast(self._weights[name], self._dtype)

    def configuration(self, **arguments: Any) -> dict[str, Any]:
        """``config.json`` unchanged, for any class."""
        return files.configuration(self._checkpoint)

    def tokenizer_files(self) -> dict[str, Any]:
        """The tokens in the files of a tokenizer of any kind."""
        return files.tokenizer_files(self._checkpoint)

    def compare_weight_files(self, file: str, unreadable: str = "") -> dict[str, Any]:
        """Compares another weight file of the directory with this one (``weight_files_compared``).

        Args:
            unreadable: why it cannot be read, if that is known already.

        Raises:
            CheckpointError: it cannot be read, although ``unreadable`` is empty.
        """
        from parity.backends.reference.weight_comparison import compare_weight_files, not_compared

        if unreadable:
            return not_compared(self._checkpoint, self._weights, file, unreadable)
        return compare_weight_files(self._checkpoint, self._weights, file, self.class_name)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[Sequence[str]], short: int) -> dict[str, Any]:
        """The tokens of the texts by our own tokenizer, truncated and padded rows included."""
        return files.tokenize(self._checkpoint, texts, pairs)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> NoReturn:
        raise _computes_nothing()

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> NoReturn:
        raise _computes_nothing()

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> NoReturn:
        raise _computes_nothing()

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        array = np.asarray(value)
        return array, array.dtype.name


def _computes_nothing() -> NotImplementedError:
    return NotImplementedError("a weight file computes nothing")
