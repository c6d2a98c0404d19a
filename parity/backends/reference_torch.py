# Twin: parity/backends/reference_flax.py
"""The reference in PyTorch (``reference.in_torch``) as a backend; in float64 on CPU it is the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import reference_outputs as outputs
from parity.backends.base import Field, LoadReport
from parity.backends.torch_arrays import compute_as, on_host, set_deterministic
from parity.subjects import Variant


class ReferenceTorch:
    """Loads the reference model from the weight files themselves."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        self.threads = threads
        set_deterministic(threads)

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str) -> ReferenceTorchModel:
        """Raises ``reference.errors.CheckpointError`` where a parameter is missing or misshapen."""
        from reference import in_torch
        from reference.config import BartConfig
        from reference.weights import read_weights

        config = BartConfig.read(checkpoint)
        weights = read_weights(checkpoint, config)
        precision = "default" if variant.default_precision else "highest"
        settings = {"dtype": dtype, "device": device, "attention": variant.attention, "precision": precision}
        model = in_torch.build(config, weights, place=checkpoint, **settings)
        report, state = outputs.file_report(weights), model.state_dict()
        report.tied = outputs.one_table(config, state)
        report.not_materialised = [name for name, tensor in state.items() if tensor.is_meta]
        report.training = model.training
        return ReferenceTorchModel(model, report, variant, self.threads)


class ReferenceTorchModel:
    """One loaded reference model."""

    def __init__(self, model: Any, report: LoadReport, variant: Variant, threads: int) -> None:
        self._model, self._variant, self._threads = model, variant, threads
        self.class_name = type(model).__name__
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        from reference.in_torch import canonical_parameters

        return canonical_parameters(self._model)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """Raises NotImplementedError where ``as_tuple``: the reference returns one dataclass."""
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
            encoded = self._model.encode(*map(given.get, outputs.ENCODER_INPUTS))
            masks = map(given.get, outputs.DECODER_INPUTS)
            decoded = self._model.decode(given["decoder_input_ids"], encoded.last_hidden_state, *masks)
        return outputs.in_two(encoded, decoded)

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        from reference.in_torch import loss_and_gradients

        compute_as(self._variant, self._threads)
        return loss_and_gradients(self._model, inputs)

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)
