# Peer reference: parity/backends/reference/flax_backend.py
"""The reference in PyTorch (``reference.in_torch``) as a backend; in float64 on CPU it is the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import layer_injection
from parity.backends.protocol import Field, LoadReport, Reorder, Step
from parity.backends.reference import by_layer, outputs, softmax_cancellation
from parity.backends.reference.reversed_widths import ReversedModel, ReversedWeights
from parity.backends.torch_util import SETS_BEFORE_USE, compute_as, on_host, set_deterministic
from parity.core.subject import Variant


class ReferenceTorch:
    """Loads the reference model from the weight files."""

    sets_before_use = SETS_BEFORE_USE

    @staticmethod
    def setup_for(tasks: Sequence[Mapping[str, Any]], *, float64_limit: int | None) -> dict[str, int]:
        """``by_layer_above`` if a model does not fit in memory in float64."""
        return {} if float64_limit is None else {"by_layer_above": float64_limit}

    def setup(self, *, threads: int, device: str, cache: Path, by_layer_above: int | None = None) -> None:
        """``by_layer_above``: a float64 model with more bytes of parameters than this is computed layer by layer."""
        self.threads, self._whole = threads, by_layer_above
        set_deterministic(threads)

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> ReferenceTorchModel | ReversedModel:
        """Raises ``reference.errors.CheckpointError`` if a parameter is missing or misshapen."""
        import torch

        from reference import in_torch
        from reference.config import read_config
        from reference.names import table_of
        from reference.weights import read_weights

        config = read_config(checkpoint)
        weights = read_weights(checkpoint, config, model_class=model_class)
        precision = "default" if variant.default_precision else "highest"
        settings = {"dtype": dtype, "device": device, "attention": variant.attention, "precision": precision}
        table = table_of(config, model_class)
        given = ReversedWeights(table, weights) if variant.reversed_widths else weights
        held = None
        if dtype == by_layer.DTYPE and device == "cpu" and self._whole is not None and _size(table) > self._whole:
            how = {"attention": variant.attention, "precision": precision}
            model, held = by_layer.build(config, given, model_class=model_class, location=checkpoint, **how)
        else:
            model = in_torch.build(config, given, model_class=model_class, location=checkpoint, **settings)
        report, state = outputs.file_report(weights), model.state_dict()
        report.tied = outputs.one_table(table, state)
        report.not_materialised = [name for name, tensor in state.items() if tensor.is_meta]
        report.training = model.training
        loaded = ReferenceTorchModel(model, checkpoint, report, variant, self.threads, held)
        return ReversedModel(loaded, table, torch.flip) if variant.reversed_widths else loaded


def _size(table: Any) -> int:
    """Bytes of all parameters in float64."""
    return 8 * sum(math.prod(shape) for shape in table.shapes.values())


class ReferenceTorchModel:
    """One loaded reference model.

    Args:
        held: fills its parameters if it is computed layer by layer.
    """

    def __init__(
        self,
        model: Any,
        checkpoint: Path,
        report: LoadReport,
        variant: Variant,
        threads: int,
        held: by_layer.ByLayer | None = None,
    ) -> None:
        self._model, self._checkpoint, self._variant, self._threads = model, checkpoint, variant, threads
        self._held = held
        self.class_name = model.model_class
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        from reference.in_torch import canonical_parameters
        from reference.in_torch.loading import to_host
        from reference.names import table_of

        if self._held is None:
            return canonical_parameters(self._model)
        state = self._held.parameters(self._model)
        ours = ((name, to_host(tensor)) for name, tensor in state.items())
        return table_of(self._model.config, self._model.model_class).canonical(ours)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """Raises NotImplementedError if ``as_tuple``: the reference returns one dataclass."""
        import torch

        from reference.in_torch import as_inputs

        outputs.no_tuple(as_tuple)
        compute_as(self._variant, self._threads)
        with torch.no_grad():
            return outputs.whole(self._model(**as_inputs(self._model, inputs)))

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        import torch

        from reference.in_torch import as_inputs

        compute_as(self._variant, self._threads)
        given = as_inputs(self._model, inputs)
        with torch.no_grad():
            return outputs.in_two(self._model, *outputs.fed(self._model, given))

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        import torch

        from reference.in_torch import as_inputs

        compute_as(self._variant, self._threads)
        given, fed = as_inputs(self._model, inputs), as_inputs(self._model, states)
        with torch.no_grad(), layer_injection.in_torch(self._model, fed):
            return outputs.in_two(self._model, *outputs.fed(self._model, given, fed[layer_injection.MEMORY]))

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        import torch

        from reference.in_torch import as_inputs

        compute_as(self._variant, self._threads)
        # As a decorator it applies while a step is computed, not while the caller uses its result.
        yield from torch.no_grad()(outputs.in_steps)(self._model, as_inputs, inputs, sizes, reorder)

    def generate(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], dialect: str | None = None
    ) -> Mapping[str, Field]:
        """With the documented dialect of beam search, or another one (a name of ``reference.generation.dialect``)."""
        from reference.generation import GenerationSettings
        from reference.in_torch import generate

        compute_as(self._variant, self._threads)
        requested = GenerationSettings.read(self._checkpoint, **settings)
        return outputs.generated(generate(self._model, inputs, requested, outputs.dialect_called(dialect)))

    def sample(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], draws: int, seed: int
    ) -> Mapping[str, Field]:
        """``outputs.sampled``."""
        from reference.generation import GenerationSettings

        requested = GenerationSettings.read(self._checkpoint, **settings)
        logits, _ = self.to_numpy(self.call(inputs)["logits"])
        return outputs.sampled(logits[:, -1], inputs, requested, draws, seed)

    def generation_settings(self) -> Mapping[str, Any]:
        from reference.generation import held_settings

        return held_settings(self._checkpoint)

    def reachable(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], tolerance: float
    ) -> tuple[list[tuple[int, list[int], float]], bool]:
        """``outputs.every_outcome``, each prefix scored by a separate full pass."""
        from reference.generation import GenerationSettings

        compute_as(self._variant, self._threads)
        requested = GenerationSettings.read(self._checkpoint, **settings)
        return outputs.every_outcome(
            lambda row: self._scorer(inputs, row),
            len(inputs[self._model.main_input]),
            requested,
            tolerance,
            inputs.get("input_ids"),
        )

    def _scorer(self, inputs: Mapping[str, np.ndarray], row: int) -> Callable[[Sequence[Sequence[int]]], np.ndarray]:
        def logits(texts: Sequence[Sequence[int]]) -> np.ndarray:
            source = {name: array[[row] * len(texts)] for name, array in inputs.items()}
            fields = self.call({**source, "decoder_input_ids": np.array(texts)})
            return fields["logits"][:, -1].double().cpu().numpy()

        return logits

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        from reference.in_torch import loss_and_gradients

        compute_as(self._variant, self._threads)
        with self._emptied_after():
            return loss_and_gradients(self._model, inputs)

    def reduced_gradients(
        self, inputs: Mapping[str, np.ndarray], keep: Callable[[np.ndarray], Any]
    ) -> tuple[Field, dict[str, Any]]:
        from parity.backends.reference.reduced_gradients import loss_and_reduced_gradients

        compute_as(self._variant, self._threads)
        with self._emptied_after():
            return loss_and_reduced_gradients(self._model, inputs, keep)

    def softmax_cancellation(self, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
        """``parity.backends.reference.softmax_cancellation``; empty except for the oracle, which is identified by
        dtype and attention."""
        import torch

        if next(self._model.parameters()).dtype != torch.float64 or self._variant.attention != "eager":
            return {}
        compute_as(self._variant, self._threads)
        with self._emptied_after():
            return softmax_cancellation.sizes(self._model, inputs)

    def _emptied_after(self) -> AbstractContextManager[None]:
        return nullcontext() if self._held is None else self._held.emptied_after()

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)
