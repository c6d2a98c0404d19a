"""Other documented forms of the call of a Flax class, each with the answer of the plain call.

Sources: BART page, Flax section: the classes support JAX's just-in-time compilation, differentiation, vectorization and
parallelization, and take ``params``, ``position_ids`` and ``decoder_position_ids``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[Any, Mapping[str, Any]], Any]
"""The plain call, of parameters and inputs; without parameters the model takes its own."""


def call_in_form(model: Any, call: Call, inputs: Mapping[str, Any], form: str) -> dict[str, Any]:
    """What the call returns in one of ``FORMS``.

    Args:
        model: the library's model.
        inputs: arrays, each with the rows of the batch first.

    Raises:
        KeyError: there is no such form.
    """
    return dict(FORMS[form](model, call, inputs).items())


def _own_parameters(model: Any, call: Call, inputs: Mapping[str, Any]) -> Any:
    """No ``params``, and not compiled as a whole."""
    return call(None, inputs)


def _given_parameters(model: Any, call: Call, inputs: Mapping[str, Any]) -> Any:
    """``params``, of a model whose own are all 0."""
    import jax

    own = model.params
    model.params = jax.tree_util.tree_map(lambda leaf: leaf * 0, own)
    try:
        return call(own, inputs)
    finally:
        model.params = own


def _vectorised(model: Any, call: Call, inputs: Mapping[str, Any]) -> Any:
    """``jax.vmap`` over batches of one row."""
    import jax

    rows = {name: array[:, None] for name, array in inputs.items()}
    answer = jax.vmap(call, in_axes=(None, 0))(model.params, rows)
    return jax.tree_util.tree_map(lambda leaf: leaf[:, 0], answer)


def _parallel(model: Any, call: Call, inputs: Mapping[str, Any]) -> Any:
    """``jax.pmap`` over one device."""
    import jax

    batches = {name: array[None] for name, array in inputs.items()}
    answer = jax.pmap(call, in_axes=(None, 0), devices=jax.local_devices()[:1])(model.params, batches)
    return jax.tree_util.tree_map(lambda leaf: leaf[0], answer)


def _positions(model: Any, call: Call, inputs: Mapping[str, Any]) -> Any:
    """A masked column before each text, and positions that count from the column after it, which is then removed."""
    import jax
    import jax.numpy as jnp

    given = dict(inputs)
    for tokens, mask, positions in POSITIONS:
        if tokens in inputs:
            given[tokens] = jnp.pad(inputs[tokens], ((0, 0), (1, 0)), constant_values=model.config.pad_token_id or 0)
            given[mask] = jnp.pad(inputs[mask], ((0, 0), (1, 0)))
            counted = jnp.maximum(jnp.arange(given[tokens].shape[1]) - 1, 0)
            given[positions] = jnp.broadcast_to(counted, given[tokens].shape)
    answer = call(model.params, given)
    # The classes have as many states as tokens; keys of cross-attention have a column more only where the source has.
    shorter = {"cross_attentions": (2, 3) if "decoder_input_ids" in inputs else (2,)}

    def without(field: str, leaf: Any) -> Any:
        axes = shorter.get(field, (2, 3)) if field.endswith("attentions") else (1,)
        return leaf[tuple(slice(1, None) if axis in axes else slice(None) for axis in range(leaf.ndim))]

    # A classifier's logits have no axis of positions.
    kept = [field for field, value in answer.items() if field == "logits" and value.ndim == 2]
    return {
        field: value if field in kept else jax.tree_util.tree_map(lambda leaf, field=field: without(field, leaf), value)
        for field, value in answer.items()
    }


POSITIONS = (
    ("input_ids", "attention_mask", "position_ids"),
    ("decoder_input_ids", "decoder_attention_mask", "decoder_position_ids"),
)
"""Tokens, their mask and their positions, in each half."""
FORMS: dict[str, Callable[[Any, Call, Mapping[str, Any]], Any]] = {
    "own-parameters": _own_parameters,
    "given-parameters": _given_parameters,
    "vectorised": _vectorised,
    "parallel": _parallel,
    "positions": _positions,
}
