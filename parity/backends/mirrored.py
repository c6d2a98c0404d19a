"""A reference whose every width runs backwards: the same function, with every sum over a width in another order.

A yardstick is worth as much as its members differ. With batches and threads permuted, small models give the same bits
again; with their widths reversed they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.backends.base import Field, Model, Reorder, Step

if TYPE_CHECKING:
    from reference.config import BartConfig

WIDTHS = ("d_model", "ffn")
"""Axes of parameters that run backwards; with them the heads, and what each head holds."""

Flip = Callable[[Any, tuple[int, ...]], Any]


class MirroredWeights(Mapping[str, np.ndarray]):
    """A checkpoint's weights, each reversed along its widths when it is looked up."""

    def __init__(self, config: BartConfig, weights: Mapping[str, np.ndarray]) -> None:
        self._weights, self._axes = weights, reversed_axes(config)

    def __getitem__(self, name: str) -> np.ndarray:
        return np.ascontiguousarray(np.flip(self._weights[name], self._axes[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights


class MirroredModel:
    """A reference that was given mirrored weights, asked and answering the right way round.

    Args:
        flip: reverses an array of the framework along axes: ``torch.flip``, ``jax.numpy.flip``.
    """

    def __init__(self, model: Model, config: BartConfig, flip: Flip) -> None:
        self._model, self._axes, self._flip = model, reversed_axes(config), flip
        self.class_name, self.report, self.to_numpy = model.class_name, model.report, model.to_numpy

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """As the checkpoint has them."""
        return ((name, np.flip(array, self._axes[name])) for name, array in self._model.parameters())

    def call(self, inputs: Mapping[str, np.ndarray], **keywords: Any) -> Mapping[str, Field]:
        return self._restored(self._model.call(mirrored_inputs(inputs), **keywords))

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        return self._restored(self._model.encode_then_decode(mirrored_inputs(inputs)))

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        for step in self._model.decode_steps(mirrored_inputs(inputs), sizes, reorder):
            cache = [[self._flip(kept, (1, 3)) for kept in layer] for layer in step.cache]
            yield Step(self._restored(step.fields), cache, step.layout)

    def generate(self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], **others: Any) -> Any:
        """Texts and scores have no widths."""
        return self._model.generate(inputs, settings, **others)

    def generation_settings(self) -> Mapping[str, Any]:
        return self._model.generation_settings()

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        loss, found = self._model.gradients(mirrored_inputs(inputs))
        return loss, {name: np.flip(array, self._axes[name]) for name, array in found.items()}

    def _restored(self, fields: Mapping[str, Field]) -> Mapping[str, Field]:
        return {name: self._restore(name, value) for name, value in fields.items()}

    def _restore(self, name: str, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(self._restore(name, each) for each in value)
        axes = (1,) if name.endswith("attentions") else (2,) if "hidden_state" in name else ()
        return self._flip(value, axes) if axes else value


def mirrored_inputs(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The heads of head masks (``[layers, heads]``) the other way round; nothing else has a width."""
    return {name: a[:, ::-1].copy() if name.endswith("head_mask") else a for name, a in inputs.items()}


def reversed_axes(config: BartConfig) -> dict[str, tuple[int, ...]]:
    """By canonical name, the axes of a parameter that are widths."""
    from reference.names import expected_parameters

    return {
        name: tuple(axis for axis, word in enumerate(parameter.axes) if word in WIDTHS)
        for name, parameter in expected_parameters(config).items()
    }
