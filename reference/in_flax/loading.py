# Peer reference: reference/in_torch/loading.py
"""Loads a model from a checkpoint, and exports its parameters as named host arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from reference.config import Config, read_config
from reference.config.classes import class_of
from reference.in_flax.attention import ATTENTIONS
from reference.in_flax.classes import model_of
from reference.in_flax.model import Model
from reference.in_flax.precision import PRECISIONS
from reference.names import table_of
from reference.weights import read_weights

DTYPES = {name: getattr(jnp, name) for name in ("float64", "float32", "bfloat16", "float16")}
CANONICAL_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
"""Flax's names of a layer's parameters, and the last component of their canonical names."""


def load(
    directory: Path,
    *,
    model_class: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "eager",
    precision: str = "highest",
) -> Model:
    """Loads a checkpoint of any supported architecture, with weights cast to ``dtype``.

    ``float64`` enables ``jax_enable_x64`` for the whole process; JAX has no narrower setting that outlives a call.

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
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    # Equal configs may still differ in a classifier's labels, because ``others`` is not compared.
    labels = getattr(config, "num_labels", None)
    table, (graph, empty) = table_of(config, model_class), outline(config, labels, model_class, attention, precision)
    target, leaves = jax.devices(device)[0], []
    for path, variable in nnx.to_flat_state(empty):
        array = table.array(canonical_name(path), weights, location)
        array = jax.device_put(canonical_layout(path, array).astype(DTYPES[dtype]), target)
        leaves.append((path, variable.replace(array)))
    return nnx.merge(graph, nnx.from_flat_state(leaves))


@lru_cache(maxsize=8)
def outline(
    config: Config, labels: int | None, model_class: str | None, attention: str, precision: str
) -> tuple[nnx.GraphDef, nnx.State]:
    """The modules of a model and the shapes of its variables, without values; tracing takes longer than loading."""
    model = nnx.eval_shape(lambda: model_of(config, model_class, attention, precision, rngs=nnx.Rngs(0)))
    return nnx.split(model)


def check_choices(dtype: str, attention: str, precision: str) -> None:
    """Raises ValueError if a choice is not one of the supported values."""
    for given, known in ((dtype, DTYPES), (attention, ATTENTIONS), (precision, PRECISIONS)):
        if given not in known:
            raise ValueError(f"unknown choice {given!r}: one of {', '.join(known)}")


def as_inputs(model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Converts host arrays to arrays on the model's device: ids and masks to int32, others to its dtype."""
    like = model.like()
    real = {name for name, array in inputs.items() if "head_mask" in name or np.asarray(array).dtype.kind == "f"}
    kinds = {name: like.dtype if name in real else jnp.int32 for name in inputs}
    return {name: jax.device_put(np.asarray(array, kinds[name]), like.device) for name, array in inputs.items()}


def canonical_parameters(model: Model) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter and buffer: canonical name and host array, in the layout of ``reference.names``.

    bfloat16 is returned as ``ml_dtypes.bfloat16``, a dependency of JAX.
    """
    return table_of(model.config, model.model_class).canonical(by_canonical_name(nnx.state(model)))


def loss_and_gradients(model: Model, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loss of one call and its gradient with respect to every parameter, by canonical name and in canonical layout.

    The gradient of the shared embedding is the sum over its uses. ``final_logits_bias`` is a buffer without gradient.

    Args:
        inputs: arguments of ``__call__`` as host arrays, including ``labels`` or both ``*_positions``.

    Raises:
        ValueError: there are no labels.
    """
    if not {"labels", "start_positions"} & set(inputs):
        raise ValueError("gradients need labels")
    loss, gradients = differentiate(model, as_inputs(model, inputs))
    ours = by_canonical_name(gradients)
    return np.asarray(loss), dict(table_of(model.config, model.model_class).canonical(ours))


@jax.jit
def differentiate(model: Model, inputs: dict[str, Array]) -> tuple[Array, nnx.State]:
    """The loss and its gradient with respect to every ``nnx.Param``, compiled."""
    graph, parameters, others = nnx.split(model, nnx.Param, ...)

    def loss(parameters: nnx.State) -> Array:
        return nnx.merge(graph, parameters, others)(**inputs).loss

    return jax.value_and_grad(loss)(parameters)


def by_canonical_name(state: nnx.State) -> Iterator[tuple[str, np.ndarray]]:
    """The variables of a state as host arrays, with the names and layout of the torch models."""
    for path, variable in nnx.to_flat_state(state):
        yield canonical_name(path), canonical_layout(path, np.asarray(variable[...]))


def canonical_name(path: tuple[object, ...]) -> str:
    """``("model", "encoder", "layers", 0, "fc1", "kernel")`` as ``model.encoder.layers.0.fc1.weight``."""
    *modules, leaf = map(str, path)
    return ".".join([*modules, CANONICAL_LEAVES.get(leaf, leaf)])


def canonical_layout(path: tuple[object, ...], array: np.ndarray) -> np.ndarray:
    """Transposes between Flax's kernels [in, out] and canonical weights [out, in], in either direction."""
    return array.T if path[-1] == "kernel" else array
