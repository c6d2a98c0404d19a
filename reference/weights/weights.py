"""The weights of a checkpoint by canonical name, and findings about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from reference.config import Config
from reference.names import LOGITS_BIAS, Entry, Layout, Parameter, entry_in, table_of
from reference.weights.files import find_weights, open_weights
from reference.weights.stored import Opened, Stored


class Weights(Mapping[str, np.ndarray]):
    """Canonical name to array, in canonical layout and with the dtype of the file; arrays are read on access.

    Iterates over the parameters present, in data-flow order; accessing one in ``missing`` raises ``KeyError``, one in
    ``misshapen`` is returned with the shape in the file. bfloat16 arrays are ``reference.weights.BFLOAT16``. Missing,
    surplus, misshapen, unequally duplicated or non-finite parameters are reported as findings, not raised as errors.
    """

    def __init__(
        self, config: Config, opened: Opened, format: str, files: list[Path], model_class: str | None = None
    ) -> None:
        self.format = format
        """``safetensors``, ``bin``, ``h5`` or ``msgpack``."""
        self.files = files
        """The files that were read, including index files."""
        self.layout = opened.layout
        self.surplus: list[str] = list(opened.others)
        """Raw names that match no parameter of the class with this config."""
        self.raw: dict[str, str] = {}
        """Canonical name to name in the file."""
        self.misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        """Canonical name to (shape found, shape expected), both in canonical layout."""
        self._expected, entry = _names(config, model_class, opened.layout)
        self._found: dict[str, tuple[Stored, bool]] = {}
        self._duplicates: dict[str, tuple[str, Stored, bool]] = {}
        self._sort(opened, entry)
        self._permit_no_bias()
        self._check_shapes()
        self.missing: list[str] = [name for name in self._expected if name not in self._found]
        """Canonical names that are not in the file."""
        self.dtypes: dict[str, str] = {name: self._found[name][0].dtype for name in self}
        """Canonical name to the dtype in the file (``float32``, ``bfloat16`` …)."""

    def _sort(self, opened: Opened, entry_of: Callable[[str], Entry | None]) -> None:
        """Classifies every tensor of the file: parameter, duplicate or surplus."""
        entries = {raw: entry_of(raw) for raw in opened.tensors}
        for raw, entry in entries.items():
            if entry is None or (entry.role in ("parameter", "buffer") and entry.name in self._found):
                self.surplus.append(raw)
            elif entry.role in ("parameter", "buffer"):
                self._found[entry.name] = (opened.tensors[raw], entry.transposed)
                self.raw[entry.name] = raw
        for raw, entry in entries.items():
            if entry is not None and entry.role == "tied":
                self._record_duplicate(raw, entry, opened.tensors[raw])

    def _record_duplicate(self, raw: str, entry: Entry, stored: Stored) -> None:
        """A tied table may have any of its names: the first found is the table, the others are duplicates."""
        if entry.name in self._found:
            self._duplicates[raw] = (entry.name, stored, entry.transposed)
        else:
            self._found[entry.name] = (stored, entry.transposed)
            self.raw[entry.name] = raw

    def _permit_no_bias(self) -> None:
        """The only parameter that may be absent: ``final_logits_bias`` is then zero, as in every framework.

        A file of the bare ``BartModel`` has no head, and a file with only trained parameters does not have the buffer.
        Source: transformers 4.37.2 to 5.23.0, ``_keys_to_ignore_on_load_missing`` of BartForConditionalGeneration.
        """
        if self._found and LOGITS_BIAS in self._expected and LOGITS_BIAS not in self._found:
            shape = self._expected[LOGITS_BIAS].shape
            self._found[LOGITS_BIAS] = (Stored(shape, "float32", lambda: np.zeros(shape, np.float32)), False)

    def _check_shapes(self) -> None:
        for name, (stored, transposed) in self._found.items():
            shape, wanted = _shape(stored, transposed), self._expected[name].shape
            if shape != wanted:
                self.misshapen[name] = (shape, wanted)

    def __getitem__(self, name: str) -> np.ndarray:
        return _read(*self._found[name])

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._expected if name in self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    @cached_property
    def tied_differs(self) -> list[str]:
        """Raw names of permitted duplicates that are not bitwise equal to their table."""
        differs = []
        for raw, (name, stored, transposed) in self._duplicates.items():
            table, table_transposed = self._found[name]
            if stored.identity is not None and stored.identity == table.identity:
                continue
            same_kind = _shape(stored, transposed) == _shape(table, table_transposed) and stored.dtype == table.dtype
            if not same_kind or _read(stored, transposed).tobytes() != self[name].tobytes():
                differs.append(raw)
        return differs

    @cached_property
    def not_finite(self) -> dict[str, int]:
        """Canonical name to the number of NaN or infinite elements, if there are any."""
        counts = {name: _count_not_finite(self[name]) for name in self if "float" in self.dtypes[name]}
        return {name: count for name, count in counts.items() if count}


def read_weights(
    directory: Path | str, config: Config, format: str | None = None, model_class: str | None = None
) -> Weights:
    """Opens the weights of a checkpoint; arrays are read on access, so a large model is not in memory twice.

    The first of safetensors, ``pytorch_model.bin``, ``tf_model.h5`` and ``flax_model.msgpack`` that is present is read.

    Args:
        format: ``safetensors``, ``bin``, ``h5`` or ``msgpack``, to select another.
        model_class: a documented class; None for the default of the architecture (``reference.config.classes``).

    Raises:
        ValueError: no such format.
        CheckpointError: there is no weight file, or it cannot be read: truncated, misaligned, garbage, a missing shard,
            overlapping tensors, a pickle that refers to anything but tensors, an unknown dtype.
    """
    known, files = find_weights(Path(directory), format)
    return Weights(config, open_weights(known, files), known.name, files, model_class)


def _names(
    config: Config, model_class: str | None, layout: Layout
) -> tuple[dict[str, Parameter], Callable[[str], Entry | None]]:
    """The expected parameters by canonical name, and a function from names in the file to their entries."""
    table = table_of(config, model_class)
    return table.expected(), lambda raw: entry_in(table, raw, layout)


def _shape(stored: Stored, transposed: bool) -> tuple[int, ...]:
    return stored.shape[::-1] if transposed else stored.shape


def _read(stored: Stored, transposed: bool) -> np.ndarray:
    array = stored.read()
    return np.ascontiguousarray(array.T) if transposed else array


def _count_not_finite(array: np.ndarray) -> int:
    """Tests the exponent bits, because numpy may not support the dtype."""
    masks: dict[int, Callable[[], np.ndarray]] = {
        8: lambda: array.view(np.uint64) & 0x7FF0000000000000 == 0x7FF0000000000000,
        4: lambda: array.view(np.uint32) & 0x7F800000 == 0x7F800000,
        2: lambda: array.view(np.uint16) & (mask := 0x7C00 if array.dtype == np.float16 else 0x7F80) == mask,
    }
    return int(np.count_nonzero(masks[array.dtype.itemsize]()))
