"""``BartForConditionalGeneration`` of transformers, on PyTorch. Runs with 4.37 to 5.x."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends import libraries
from parity.backends.base import Field, LoadReport
from parity.backends.torch_arrays import as_tensors, bits_on_host, compute_as, on_host, set_deterministic
from parity.subjects import Variant
from reference.config import BartConfig


class HfTorch:
    """Loads the PyTorch class as a user would, in evaluation mode."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        libraries.quiet_offline_environment()
        # Documented switches: importing two more frameworks costs seconds and computes nothing here.
        os.environ.update(USE_TORCH="1", USE_TF="0", USE_FLAX="0", USE_JAX="0")
        self.threads = threads
        set_deterministic(threads)

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str) -> HfTorchModel:
        """Raises whatever ``from_pretrained`` raises."""
        import torch
        from transformers import BartForConditionalGeneration

        # The argument's name changed in 4.56 (transformers 4.56.0, modeling_utils.py, from_pretrained).
        dtype_argument = "dtype" if libraries.version_of("transformers") >= (4, 56) else "torch_dtype"
        flags = libraries.route(checkpoint, "pt", ("tf", "flax"))
        compute_as(variant, self.threads)
        with libraries.notes_of_load() as notes:
            model, info = BartForConditionalGeneration.from_pretrained(
                checkpoint, attn_implementation=variant.attention, local_files_only=True, output_loading_info=True,
                **{dtype_argument: getattr(torch, dtype)}, **flags,
            )  # fmt: skip
        config = BartConfig.read(checkpoint)
        report = _report(model, info, config)
        report.route, report.notes = libraries.route_name(flags), notes + libraries.loading_errors(info)
        return HfTorchModel(model.to(device).eval(), config, report, variant, self.threads)


class HfTorchModel:
    """One loaded ``BartForConditionalGeneration``."""

    def __init__(self, model: Any, config: BartConfig, report: LoadReport, variant: Variant, threads: int) -> None:
        self._model, self._config, self._variant, self._threads = model, config, variant, threads
        self.class_name = type(model).__name__
        self.report = report

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """Everything in the state dict: parameters, their tied names, and the buffer ``final_logits_bias``."""
        for raw, tensor in self._model.state_dict().items():
            if not tensor.is_meta:
                yield libraries.parameter_name(raw, "torch", self._config)[0], bits_on_host(tensor)

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field] | tuple:
        output = self._forward(self._tensors(inputs), return_dict=not as_tuple)
        return output if as_tuple else dict(output.items())

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        """``model.get_encoder()``, then a call given ``encoder_outputs`` and all but ``input_ids``."""
        import torch

        tensors = self._tensors(inputs)
        names = ("input_ids", "attention_mask", "head_mask")
        with torch.no_grad():
            encoded = self._model.get_encoder()(
                **{name: tensors[name] for name in names if name in tensors}, **self._asked_for(), return_dict=True
            )
        rest = {name: tensor for name, tensor in tensors.items() if name not in ("input_ids", "head_mask")}
        return dict(self._forward({**rest, "encoder_outputs": encoded}).items())

    def gradients(self, inputs: Mapping[str, np.ndarray]) -> tuple[Field, dict[str, np.ndarray]]:
        self._model.zero_grad(set_to_none=True)
        loss = self._forward(self._tensors(inputs), gradients=True).loss
        loss.backward()
        found = {}
        for raw, parameter in self._model.named_parameters():
            if parameter.grad is not None:
                found[libraries.parameter_name(raw, "torch", self._config)[0]] = _gradient(parameter.grad)
        self._model.zero_grad(set_to_none=True)
        return loss.detach(), found

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)

    def _tensors(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return as_tensors(inputs, self._model.device, self._model.dtype)

    def _asked_for(self) -> dict[str, bool]:
        return {"output_hidden_states": True, "output_attentions": self._variant.attention == "eager"}

    def _forward(self, tensors: dict[str, Any], *, return_dict: bool = True, gradients: bool = False) -> Any:
        import torch

        compute_as(self._variant, self._threads)
        with nullcontext() if gradients else torch.no_grad():
            return self._model(**tensors, **self._asked_for(), return_dict=return_dict)


def _gradient(tensor: Any) -> np.ndarray:
    """In the dtype it was computed in, or widened where numpy is not told of that type (bfloat16, no ml_dtypes)."""
    bits = bits_on_host(tensor)
    return on_host(tensor)[0] if bits.dtype == np.uint16 else bits


def _report(model: Any, info: dict[str, Any], config: BartConfig) -> LoadReport:
    """What ``output_loading_info`` says, and what the modules themselves show."""
    stores: dict[tuple[Any, ...], list[str]] = {}
    absent = []
    for raw, tensor in model.state_dict().items():
        name = libraries.parameter_name(raw, "torch", config)[0]
        if tensor.is_meta:
            absent.append(name)
        else:
            # The bytes' address alone would tie an empty tensor to anything.
            stores.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    return LoadReport(
        missing=sorted({libraries.parameter_name(raw, "torch", config)[0] for raw in info["missing_keys"]}),
        unexpected=sorted(info["unexpected_keys"]),
        tied=[names for names in stores.values() if len(names) > 1],
        not_materialised=absent,
        training=model.training,
    )
