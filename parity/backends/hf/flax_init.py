"""Loads a Flax class without computing the random initialisation that the file then replaces.

``from_pretrained`` first initialises every parameter: it runs the whole module once, operation by operation, and XLA
compiles each operation (5 s of processor time for two layers; transformers 4.57.6, modeling_flax_utils.py,
``FlaxPreTrainedModel.__init__``). ``jax.eval_shape`` gives the same tree without values, as the library itself does if
``_do_init`` is False. If any placeholder value remains after loading, the parameter was in no file, and the class is
loaded again without this replacement, because the library's random initialisation is also checked.
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
    """``kind.from_pretrained``, and the notes of the load.

    Args:
        kind: a Flax class of transformers.
        arguments: arguments of ``from_pretrained``.

    Returns:
        The model with the same parameters as from a plain call, and the notes of the load.

    Raises:
        Exception: any exception of ``from_pretrained``.
    """
    import jax

    first: list[str] = []
    try:
        with common.notes_of_load() as first, _not_drawn(kind):
            model = kind.from_pretrained(checkpoint, **arguments)
        if not any(map(_stands_in, jax.tree_util.tree_leaves(model.params))):
            return model, first
    except Exception:
        # Any exception: the plain call below raises it as a user would see it.
        pass
    with common.notes_of_load() as second:
        model = kind.from_pretrained(checkpoint, **arguments)
    # Messages that the library issues once per process were issued by the first call.
    return model, list(dict.fromkeys([*first, *second]))


@contextmanager
def _not_drawn(kind: type) -> Iterator[None]:
    """Fills parameters with NaN instead of calling ``init_weights``."""
    own = kind.__dict__.get("init_weights")
    drawn: Callable[..., Any] = kind.init_weights

    def init_weights(self: Any, rng: Any, input_shape: tuple, params: Any = None) -> Any:
        import jax
        import jax.numpy as jnp

        if params is not None:
            return drawn(self, rng, input_shape, params)
        shapes = jax.eval_shape(partial(drawn, self, input_shape=input_shape), rng)
        # With numpy, because JAX would compile a fill for each shape.
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
    """Whether all values of a parameter are NaN; a parameter without values was left to the library."""
    if not hasattr(leaf, "__array__"):
        return False
    array = np.asarray(leaf)
    return array.size > 0 and bool(np.isnan(array.astype(np.float32, copy=False)).all())
