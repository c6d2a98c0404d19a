"""Loads a Flax class without computing the random initialisation that the file then replaces.

``from_pretrained`` first draws every parameter: it runs the whole module once, operation by operation, and XLA compiles
each of them (5 s of processor time for two layers; transformers 4.57.6, modeling_flax_utils.py,
``FlaxPreTrainedModel.__init__``). ``jax.eval_shape`` gives the same tree without values, as the library itself asks
for it where ``_do_init`` is False. Whatever is left of the values that stand in for the drawn ones was in no file, and
then the class is loaded again with nothing exchanged: what a library draws is part of what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parity.backends.hf import common


def load_pretrained(kind: type, checkpoint: Path, **arguments: Any) -> tuple[Any, list[str]]:
    """``kind.from_pretrained``, and what was said while it loaded.

    Args:
        kind: a Flax class of transformers.
        arguments: of ``from_pretrained``.

    Returns:
        The model with exactly the parameters that a plain call gives, and the notes of the load.

    Raises:
        Exception: whatever ``from_pretrained`` raises.
    """
    import jax

    first: list[str] = []
    try:
        with common.notes_of_load() as first, _not_drawn(kind):
            model = kind.from_pretrained(checkpoint, **arguments)
        if not any(map(_stands_in, jax.tree_util.tree_leaves(model.params))):
            return model, first
    except Exception:
        # Of whatever cause: the plain call below says it as a user would hear it.
        pass
    with common.notes_of_load() as second:
        model = kind.from_pretrained(checkpoint, **arguments)
    # What the library says once in a process was said the first time.
    return model, list(dict.fromkeys([*first, *second]))


@contextmanager
def _not_drawn(kind: type) -> Iterator[None]:
    """Parameters are NaN where ``init_weights`` would draw them."""
    own = kind.__dict__.get("init_weights")
    drawn: Callable[..., Any] = kind.init_weights

    def init_weights(self: Any, rng: Any, input_shape: tuple, params: Any = None) -> Any:
        import jax
        import jax.numpy as jnp

        if params is not None:
            return drawn(self, rng, input_shape, params)
        shapes = jax.eval_shape(partial(drawn, self, input_shape=input_shape), rng)
        # From numpy: JAX would compile a fill for each shape.
        return jax.tree_util.tree_map(lambda leaf: jnp.asarray(np.full(leaf.shape, np.nan, leaf.dtype)), shapes)

    kind.init_weights = init_weights
    try:
        yield
    finally:
        if own is None:
            del kind.init_weights
        else:
            kind.init_weights = own


def _stands_in(leaf: Any) -> bool:
    """Whether a parameter is NaN throughout; one that has no values was left to the library."""
    if not hasattr(leaf, "__array__"):
        return False
    array = np.asarray(leaf)
    return array.size > 0 and bool(np.isnan(array.astype(np.float32, copy=False)).all())
