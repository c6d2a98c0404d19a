"""How the frameworks are told to compute where models are tiny and many: without what pays only for large ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def on_one_thread() -> None:
    """Threads that share these sums wait for each other by spinning: beside other work that took 12 s an example."""
    import torch

    torch.set_num_threads(1)


@contextmanager
def in_haste(reference: str, fresh: bool) -> Iterator[None]:
    """Within it XLA compiles without most optimisations, in about half the time; what it computes is as exact.

    Args:
        fresh: what was compiled before is forgotten first, because no later example asks for it.
    """
    if reference != "flax":
        yield
        return
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    if fresh:
        jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
