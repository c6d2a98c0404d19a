# Peer reference: reference/in_torch/loading.py
"""From a checkpoint to a model, and from a model to named host arrays."""

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
"""What Flax calls a layer's parameters, and what their canonical names end with."""


def load(
    directory: Path,
    *,
    model_class: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "eager",
    precision: str = "highest",
) -> Model:
    """The model a checkpoint's directory describes, of any family, its weights cast to ``dtype``.

    ``float64`` switches ``jax_enable_x64`` on for the whole process; JAX has no narrower switch that outlives a call.

    Raises:
        CheckpointError: ``config.json`` or the weights cannot be read, or a parameter is missing or misshapen (named).
    """
    config = read_config(directory)
    model_class = class_of(config, model_class, directory)
    weights = read_weights(directory, config, model_class=model_class)
    how = {"dtype": dtype, "device": device, "attention": attention, "precision": precision}
    return build(config, weights, model_class=model_class, **how, place=directory)


def build(
    config: Config,
    weights: Mapping[str, np.ndarray],
    *,
    model_class: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "eager",
    precision: str = "highest",
    place: Path | str = "weights",
) -> Model:
    """A model from host arrays under canonical names; what it has no place for is left aside.

    Args:
        model_class: a documented class; None for the family's first (``reference.config.classes``).
        place: what errors name.

    Raises:
        CheckpointError: a parameter is missing or misshapen (named).
        ValueError: there is no such dtype, attention or precision.
    """
    check_choices(dtype, attention, precision)
    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    # Of two configs that are equal, the labels of a classifier may still differ (``others`` is not compared).
    labels = getattr(config, "num_labels", None)
    table, (graph, empty) = table_of(config, model_class), outline(config, labels, model_class, attention, precision)
    target, leaves = jax.devices(device)[0], []
    for path, variable in nnx.to_flat_state(empty):
        array = table.array(canonical_name(path), weights, place)
        array = jax.device_put(canonical_layout(path, array).astype(DTYPES[dtype]), target)
        leaves.append((path, variable.replace(array)))
    return nnx.merge(graph, nnx.from_flat_state(leaves))


@lru_cache(maxsize=8)
def outline(
    config: Config, labels: int | None, model_class: str | None, attention: str, precision: str
) -> tuple[nnx.GraphDef, nnx.State]:
    """A model without its values: its modules, and the shapes of its variables. Tracing it takes longer than a load."""
    model = nnx.eval_shape(lambda: model_of(config, model_class, attention, precision, rngs=nnx.Rngs(0)))
    return nnx.split(model)


def check_choices(dtype: str, attention: str, precision: str) -> None:
    """Names the choice that is none of those there are, as a ValueError."""
    for given, known in ((dtype, DTYPES), (attention, ATTENTIONS), (precision, PRECISIONS)):
        if given not in known:
            raise ValueError(f"unknown choice {given!r}: one of {', '.join(known)}")


def as_inputs(model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Host arrays by argument name as arrays on the model's device: ids and masks int32, others in its dtype."""
    like = model.like()
    real = {name for name, array in inputs.items() if "head_mask" in name or np.asarray(array).dtype.kind == "f"}
    kinds = {name: like.dtype if name in real else jnp.int32 for name in inputs}
    return {name: jax.device_put(np.asarray(array, kinds[name]), like.device) for name, array in inputs.items()}


def canonical_parameters(model: Model) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter and buffer: canonical name and host array, in the layout of ``reference.names``.

    bfloat16 comes as ``ml_dtypes.bfloat16``, which JAX brings along.
    """
    return table_of(model.config, model.model_class).canonical(by_canonical_name(nnx.state(model)))


def loss_and_gradients(model: Model, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loss of one call and its gradient by every parameter, under canonical names and in their layout.

    The shared table's gradient is the sum over all its uses. ``final_logits_bias`` is no parameter: it has none.

    Args:
        inputs: what ``__call__`` takes, ``labels`` or both ``*_positions`` among them, as host arrays.

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
    """The loss and its gradient by every ``nnx.Param``, compiled."""
    graph, parameters, others = nnx.split(model, nnx.Param, ...)

    def loss(parameters: nnx.State) -> Array:
        return nnx.merge(graph, parameters, others)(**inputs).loss

    return jax.value_and_grad(loss)(parameters)


def by_canonical_name(state: nnx.State) -> Iterator[tuple[str, np.ndarray]]:
    """A state's variables as host arrays, with the names and the layout that the torch models give theirs."""
    for path, variable in nnx.to_flat_state(state):
        yield canonical_name(path), canonical_layout(path, np.asarray(variable[...]))


def canonical_name(path: tuple[object, ...]) -> str:
    """``("model", "encoder", "layers", 0, "fc1", "kernel")`` as ``model.encoder.layers.0.fc1.weight``."""
    *modules, leaf = map(str, path)
    return ".".join([*modules, CANONICAL_LEAVES.get(leaf, leaf)])


def canonical_layout(path: tuple[object, ...], array: np.ndarray) -> np.ndarray:
    """Flax's kernels are [in, out], canonical weights [out, in]: transposed, which is also the way back."""
    return array.T if path[-1] == "kernel" else array
