"""The table of names of an architecture: maps each parameter of our models to canonical names.

Canonical names and layouts are those of PyTorch's state dicts (transformers 4.57.6). Our models use the same names for
all architectures (``self_attn.q_proj``, ``fc1`` …), so architectures differ in these tables and not in the models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from reference.config import StackShape
from reference.errors import CheckpointError

Layout = Literal["torch", "flax", "tf"]
EntryRole = Literal["parameter", "tied", "buffer", "ignored"]


@dataclass(frozen=True)
class Parameter:
    """One canonical parameter: its shape and the names of its axes."""

    shape: tuple[int, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """The meaning of one name in a file.

    ``parameter``: the canonical parameter ``name``. ``tied``: a permitted duplicate, which must equal ``name``.
    ``buffer``: as a parameter, but not trained (``final_logits_bias``). ``ignored``: an entry that is not a weight
    (fairseq's ``version``).
    """

    name: str
    transposed: bool
    """Whether the file stores the transpose of the canonical array."""
    role: EntryRole


@dataclass(frozen=True)
class Row:
    """One parameter of our models, and the canonical array, or slice of one, that it is read from."""

    ours: str
    name: str
    parameter: Parameter
    """The shape and axes of the whole canonical array ``name``."""
    transposed: bool = False
    """Whether the canonical array is [in, out] (GPT-2's linear weights), while ours is [out, in]."""
    part: tuple[int, int] | None = None
    """Index and number of equal slices along the last axis: (1, 3) is the second third."""
    buffer: bool = False

    def taken(self, array: np.ndarray) -> np.ndarray:
        """Our parameter from the canonical array."""
        if self.part is not None:
            array = np.split(array, self.part[1], axis=-1)[self.part[0]]
        return array.T if self.transposed else array


@dataclass(frozen=True)
class Table:
    """Rows in data-flow order, permitted duplicates (alias to canonical name) and other permitted entries of a file.

    Attributes:
        prefix: the prefix of the bare model's names in a file saved from a class with a head, or "".
        ignored: patterns of names that this model does not use.
        spellings: patterns and replacements for alternative spellings of a name.
    """

    rows: tuple[Row, ...]
    tied: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    spellings: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _by_ours(self) -> dict[str, Row]:
        return {row.ours: row for row in self.rows}

    @cached_property
    def _roles(self) -> dict[str, EntryRole]:
        return {row.name: "buffer" if row.buffer else "parameter" for row in self.rows}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical names and shapes."""
        return {row.name: row.parameter.shape for row in self.rows}

    @cached_property
    def groups(self) -> list[list[str]]:
        """Names that share one array in memory, the canonical one first."""
        found: dict[str, list[str]] = {}
        for alias, name in self.tied.items():
            found.setdefault(name, [name]).append(alias)
        return list(found.values())

    def spelled(self, raw: str) -> tuple[str, ...]:
        """Candidate interpretations of a name in a PyTorch file: unchanged, with the prefix added (saved from the bare
        model), or with it removed (saved from a model with a head). A name with the prefix twice matches nothing.
        """
        for pattern, replacement in self.spellings:
            raw = re.sub(pattern, replacement, raw)
        return raw, self.prefix + raw if self._prefixed else raw.removeprefix(self.prefix)

    @cached_property
    def _prefixed(self) -> bool:
        return any(row.name.startswith(self.prefix) for row in self.rows)

    def expected(self) -> dict[str, Parameter]:
        """Canonical parameters, each once, in data-flow order."""
        return {row.name: row.parameter for row in self.rows}

    def entry(self, raw: str) -> Entry | None:
        """The entry of a name in a PyTorch file; None if this model has no such name."""
        names = self.spelled(raw)
        for name in names:
            if name in self.tied:
                return Entry(self.tied[name], False, "tied")
            if name in self._roles:
                return Entry(name, False, self._roles[name])
        return Entry(raw, False, "ignored") if any(fnmatchcase(names[0], known) for known in self.ignored) else None

    def array(self, ours: str, weights: Mapping[str, np.ndarray], location: Path | str) -> np.ndarray:
        """One of our parameters from canonical arrays.

        Args:
            location: the path or name in error messages.

        Raises:
            CheckpointError: the canonical array that it is read from is missing or misshapen.
        """
        row = self._by_ours[ours]
        if row.name not in weights:
            raise CheckpointError(location, f"parameter {row.name} is missing")
        array = weights[row.name]
        if array.shape != row.parameter.shape:
            raise CheckpointError(location, f"parameter {row.name} is {array.shape}, not {row.parameter.shape}")
        return row.taken(array)

    def canonical(self, ours: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        """Canonical names and arrays from ours, in data-flow order; fused arrays are concatenated from their parts."""
        given = dict(ours)
        for name, rows in self._by_name().items():
            parts = [given[row.ours].T if row.transposed else given[row.ours] for row in rows if row.ours in given]
            if parts:
                yield name, parts[0] if rows[0].part is None else np.concatenate(parts, axis=-1)

    def _by_name(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.name, []).append(row)
        return found

    def within(self, ours: str, name: str) -> Table:
        """The table as part of a composition, with a prefix before all names."""
        rows = tuple(
            Row(ours + row.ours, name + row.name, row.parameter, row.transposed, row.part, row.buffer)
            for row in self.rows
        )
        tied = {name + alias: name + target for alias, target in self.tied.items()}
        return Table(rows, tied, ignored=tuple(name + pattern for pattern in self.ignored))


def matrix(ours: str, name: str, shape: Sequence[int], axes: Sequence[str]) -> Iterator[Row]:
    """An embedding table, or any weight without a bias."""
    yield Row(f"{ours}.weight", f"{name}.weight", Parameter(tuple(shape), tuple(axes)))


def linear(ours: str, name: str, shape: tuple[int, int], axes: tuple[str, str]) -> Iterator[Row]:
    """Weight ``[out, in]`` and bias ``[out]``, as in ``torch.nn.Linear``."""
    yield Row(f"{ours}.weight", f"{name}.weight", Parameter(shape, axes))
    yield Row(f"{ours}.bias", f"{name}.bias", Parameter(shape[:1], axes[:1]))


def norm(ours: str, name: str, width: int, axis: str = "d_model") -> Iterator[Row]:
    """Scale and shift of a normalisation."""
    yield Row(f"{ours}.weight", f"{name}.weight", Parameter((width,), (axis,)))
    yield Row(f"{ours}.bias", f"{name}.bias", Parameter((width,), (axis,)))


def stack(shape: StackShape, ours: str, name: str, words: Mapping[str, str]) -> Iterator[Row]:
    """All layers of a stack whose linear weights are separate arrays ``[out, in]``.

    Args:
        ours, name: the prefixes before the layer number.
        words: the name of each sublayer in our models to that of the architecture.
    """
    width, ffn = (shape.d_model, shape.d_model), shape.ffn
    for index in range(shape.layers):
        for part in ("self_attn", "encoder_attn") if shape.cross else ("self_attn",):
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                suffix = f"{part}.{projection}"
                yield from linear(
                    f"{ours}.{index}.{suffix}", f"{name}.{index}.{words[suffix]}", width, ("d_model", "d_model")
                )
            suffix = f"{part}_layer_norm"
            yield from norm(f"{ours}.{index}.{suffix}", f"{name}.{index}.{words[suffix]}", shape.d_model)
        maps = (("fc1", (ffn, shape.d_model), ("ffn", "d_model")), ("fc2", (shape.d_model, ffn), ("d_model", "ffn")))
        for part, sizes, axes in maps:
            yield from linear(f"{ours}.{index}.{part}", f"{name}.{index}.{words[part]}", sizes, axes)
        last = "final_layer_norm"
        yield from norm(f"{ours}.{index}.{last}", f"{name}.{index}.{words[last]}", shape.d_model)
