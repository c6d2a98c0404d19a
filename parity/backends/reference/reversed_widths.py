"""A reference with every width reversed: the same function, but sums over a width have another order.

The noise floor is only meaningful if its members differ. On small models permuted batches and other thread counts give
identical bits; reversed widths do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.backends.protocol import Field, Model, Reorder, Step

if TYPE_CHECKING:
    from reference.names import Table

WIDTHS = {"d_model": 1, "ffn": 1, "memory": 1, "group": 1, "in": 1, "gates": 2}
"""Axes of parameters that are reversed, and the number of separately reversed pieces; also the heads, and the elements
within each. Channels of convolutions keep their order, and so do queries, keys and values in one array (axis
``out``)."""

Flip = Callable[[Any, tuple[int, ...]], Any]


class ReversedWeights(Mapping[str, np.ndarray]):
    """A checkpoint's weights, each reversed along its widths on access."""

    def __init__(self, table: Table, weights: Mapping[str, np.ndarray]) -> None:
        self._weights, self._axes = weights, reversed_axes(table)

    def __getitem__(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(reversed_along(self._weights[name], self._axes[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights


class ReversedModel:
    """A reference with width-reversed weights whose inputs and outputs are in the original order.

    Args:
        flip: reverses an array of the framework along axes: ``torch.flip``, ``jax.numpy.flip``.
    """

    def __init__(self, model: Model, table: Table, flip: Flip) -> None:
        self._model, self._axes, self._flip = model, reversed_axes(table), flip
        self.class_name, self.report, self.to_numpy = model.class_name, model.report, model.to_numpy

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """In the original order."""
        return ((name, reversed_along(array, self._axes[name])) for name, array in self._model.parameters())

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """Raises NotImplementedError where ``as_tuple``, as the references do."""
        fields = self._model.call(reversed_inputs(inputs), as_tuple=as_tuple)
        if isinstance(fields, tuple):
            raise NotImplementedError("the reference returns one dataclass and has no tuple form")
        return self._restored(fields)

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        return self._restored(self._model.encode_then_decode(reversed_inputs(inputs)))

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        for step in self._model.decode_steps(reversed_inputs(inputs), sizes, reorder):
            cache = tuple(tuple(self._flip(tensor, (1, 3)) for tensor in layer) for layer in step.cache)
            yield Step(self._restored(step.fields), cache, step.layout)

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], **others: Any) -> Any:
        """Texts and scores are unchanged, because they have no width."""
        return self._model.generate(inputs, settings, **others)

    def generation_settings(self) -> Mapping[str, Any]:
        return self._model.generation_settings()

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        loss, found = self._model.gradients(reversed_inputs(inputs))
        return loss, {name: reversed_along(array, self._axes[name]) for name, array in found.items()}

    def _restored(self, fields: Mapping[str, Field]) -> Mapping[str, Field]:
        return {name: self._restore(name, value) for name, value in fields.items()}

    def _restore(self, name: str, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(self._restore(name, each) for each in value)
        axes = (1,) if name.endswith("attentions") else (2,) if "hidden_state" in name else ()
        return self._flip(value, axes) if axes else value


def reversed_inputs(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reverses the heads of head masks (``[layers, heads]``) and the width of states; other inputs have neither."""
    return {name: _reversed_widths(name, array) for name, array in inputs.items()}


def _reversed_widths(name: str, array: np.ndarray) -> np.ndarray:
    wide = name.endswith("head_mask") or name == "encoder_hidden_states"
    return array[..., ::-1].copy() if wide else array


def reversed_axes(table: Table) -> dict[str, tuple[tuple[int, int], ...]]:
    """By canonical name, the axes of a parameter that are widths, and in how many pieces each is reversed."""
    found = {}
    for row in table.rows:
        pieces = WIDTHS | {"out": row.part[1] if row.part else 1}
        words = enumerate(row.parameter.axes)
        found[row.name] = tuple((axis, pieces[word]) for axis, word in words if word in pieces)
    return found


def reversed_along(array: np.ndarray, axes: tuple[tuple[int, int], ...]) -> np.ndarray:
    """An array reversed along each of these axes, or within each of an axis's pieces."""
    for axis, pieces in axes:
        array = np.concatenate([np.flip(piece, axis) for piece in np.split(array, pieces, axis)], axis)
    return array
