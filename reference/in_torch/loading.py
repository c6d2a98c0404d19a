# Peer reference: reference/in_flax/loading.py
"""Loads a model from a checkpoint, and exports its parameters as named host arrays."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reference.config import Config, read_config
from reference.config.classes import class_of
from reference.in_torch.attention import ATTENTIONS
from reference.in_torch.classes import model_of
from reference.in_torch.model import Model
from reference.in_torch.precision import PRECISIONS, matmul_precision
from reference.names import table_of
from reference.weights import read_weights

DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}


def load(
    directory: Path,
    *,
    model_class: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "eager",
    precision: str = "highest",
) -> Model:
    """Loads a checkpoint of any supported architecture, with weights cast to ``dtype``, in evaluation mode.

    Raises:
        CheckpointError: ``config.json`` or the weights cannot be read, or a parameter is missing or misshapen.
    """
    config = read_config(directory)
    model_class = class_of(config, model_class, directory)
    weights = read_weights(directory, config, model_class=model_class)
    how = {"dtype": dtype, "device": device, "attention": attention, "precision": precision}
    return build(config, weights, model_class=model_class, **how, location=directory)


def build(
    config: Config,
    weights: Mapping[str, np.ndarray],
    *,
    model_class: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "eager",
    precision: str = "highest",
    location: Path | str = "weights",
) -> Model:
    """Builds a model from host arrays by canonical name; arrays that the model does not have are ignored.

    Args:
        model_class: a documented class; None for the default of the architecture (``reference.config.classes``).
        location: the path or name in error messages.

    Raises:
        CheckpointError: a parameter is missing or misshapen.
        ValueError: there is no such dtype, attention or precision.
    """
    check_choices(dtype, attention, precision)
    with torch.device("meta"):
        model = model_of(config, model_class, attention, precision)
    table, state = table_of(config, model_class), {}
    for name in model.state_dict():
        array = table.array(name, weights, location)
        state[name] = from_host(array).to(device=device, dtype=DTYPES[dtype])
    model.load_state_dict(state, assign=True)
    return model.eval()


def check_choices(dtype: str, attention: str, precision: str) -> None:
    """Raises ValueError if a choice is not one of the supported values."""
    for given, known in ((dtype, DTYPES), (attention, ATTENTIONS), (precision, PRECISIONS)):
        if given not in known:
            raise ValueError(f"unknown choice {given!r}: one of {', '.join(known)}")


def as_inputs(model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Converts host arrays to tensors on the model's device: ids and masks to int64, others to its dtype."""
    like = model.like()
    real = {name for name, array in inputs.items() if "head_mask" in name or np.asarray(array).dtype.kind == "f"}
    kinds = {name: like.dtype if name in real else torch.int64 for name in inputs}
    return {name: torch.as_tensor(array).to(like.device, kinds[name]) for name, array in inputs.items()}


def canonical_parameters(model: Model) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter and buffer: canonical name and host array, in the layout of ``reference.names``.

    bfloat16 is returned as ``ml_dtypes.bfloat16``, or as uint16 with the same bits if that library is not installed.
    """
    ours = ((name, to_host(parameter)) for name, parameter in model.state_dict().items())
    return table_of(model.config, model.model_class).canonical(ours)


def loss_and_gradients(model: Model, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loss of one call and its gradient with respect to every parameter, by canonical name and in canonical layout.

    The gradient of the shared embedding is the sum over its uses. ``final_logits_bias`` is a buffer without gradient.

    Args:
        inputs: arguments of ``forward`` as host arrays, including ``labels`` or both ``*_positions``.

    Raises:
        ValueError: there are no labels.
    """
    if not {"labels", "start_positions"} & set(inputs):
        raise ValueError("gradients need labels")
    names, parameters = zip(*model.named_parameters(), strict=True)
    with torch.enable_grad(), matmul_precision(model.precision):
        loss = model(**as_inputs(model, inputs)).loss
        # A parameter that does not affect the loss has gradient zero, for example cross-attention without an encoder.
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    ours = zip(names, map(to_host, gradients), strict=True)
    return to_host(loss), dict(table_of(model.config, model.model_class).canonical(ours))


def to_host(tensor: Tensor) -> np.ndarray:
    """Converts a tensor to a host array (bfloat16: see ``canonical_parameters``)."""
    tensor = tensor.detach().cpu()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    bits = tensor.view(torch.uint16).numpy()
    try:
        return bits.view(importlib.import_module("ml_dtypes").bfloat16)
    except ModuleNotFoundError:
        return bits


def from_host(array: np.ndarray) -> Tensor:
    """Copies a host array to a tensor. NumPy has no bfloat16, so its bits are copied; uint16 is interpreted as bfloat16
    bits, because no parameter has that type."""
    if array.dtype.name in ("bfloat16", "uint16"):
        return torch.tensor(array.view(np.uint16)).view(torch.bfloat16)
    return torch.tensor(array)
