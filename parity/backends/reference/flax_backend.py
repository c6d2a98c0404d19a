# Peer reference: parity/backends/reference/torch_backend.py
"""The reference in Flax (``reference.in_flax``) as a backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import jax_util, layer_injection
from parity.backends.protocol import Field, LoadReport, Reorder, Step
from parity.backends.reference import outputs
from parity.backends.reference.reversed_widths import ReversedModel, ReversedWeights
from parity.core.subject import Variant


class ReferenceFlax:
    """Loads the reference model from the weight files."""

    sets_before_use = ("jax.jax_enable_x64",)

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        jax_util.set_up(threads, device, cache)

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> ReferenceFlaxModel | ReversedModel:
        """Raises ``reference.errors.CheckpointError`` if a parameter is missing or misshapen.

        Raises:
            ValueError: one thread is requested; the size of XLA's pool is fixed at start.
        """
        import jax
        import jax.numpy as jnp

        from reference import in_flax
        from reference.config import read_config
        from reference.names import table_of
        from reference.weights import read_weights

        if variant.one_thread:
            raise ValueError(f"reference-flax uses all threads of its process; unsupported: {variant}")
        # The switch is global to the process, which may have loaded a model of another dtype before.
        jax.config.update("jax_enable_x64", dtype == "float64")
        config = read_config(checkpoint)
        weights = read_weights(checkpoint, config, model_class=model_class)
        precision = "default" if variant.default_precision else "highest"
        settings = {"dtype": dtype, "device": device, "attention": variant.attention, "precision": precision}
        table = table_of(config, model_class)
        given = ReversedWeights(table, weights) if variant.reversed_widths else weights
        model = in_flax.build(config, given, model_class=model_class, location=checkpoint, **settings)
        report = outputs.file_report(weights)
        report.tied = outputs.one_table(table, {name for name, _ in in_flax.canonical_parameters(model)})
        loaded = ReferenceFlaxModel(model, checkpoint, report)
        return ReversedModel(loaded, table, jnp.flip) if variant.reversed_widths else loaded


class ReferenceFlaxModel:
    """One loaded reference model."""

    def __init__(self, model: Any, checkpoint: Path, report: LoadReport) -> None:
        self._model, self._checkpoint = model, checkpoint
        self.class_name = model.model_class
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        from reference.in_flax import canonical_parameters

        return canonical_parameters(self._model)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """Raises NotImplementedError if ``as_tuple``: the reference returns one dataclass."""
        from reference.in_flax import as_inputs

        outputs.no_tuple(as_tuple)
        return outputs.whole(self._model(**as_inputs(self._model, inputs)))

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        from reference.in_flax import as_inputs

        given = as_inputs(self._model, inputs)
        return outputs.in_two(self._model, *outputs.fed(self._model, given))

    def layerwise(self, inputs: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        from reference.in_flax import as_inputs

        given, fed = as_inputs(self._model, inputs), as_inputs(self._model, states)
        with layer_injection.in_nnx(self._model, fed):
            return outputs.in_two(self._model, *outputs.fed(self._model, given, fed[layer_injection.MEMORY]))

    def decode_steps(
        self, inputs: Mapping[str, np.ndarray], sizes: Sequence[int], reorder: Reorder | None = None
    ) -> Iterator[Step]:
        from reference.in_flax import as_inputs

        yield from outputs.in_steps(self._model, as_inputs, inputs, sizes, reorder)

    def generate(
        self, inputs: Mapping[str, np.ndarray], settings: Mapping[str, Any], dialect: str | None = None
    ) -> Mapping[str, Field]:
        """With the documented dialect of beam search, or another one (a name of ``reference.generation.dialect``)."""
        from reference.generation import GenerationSettings
        from reference.in_flax import generate

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

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        from reference.in_flax import loss_and_gradients

        return loss_and_gradients(self._model, inputs)

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return jax_util.on_host(value)
