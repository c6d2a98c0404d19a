"""How the frameworks are told to compute where models are tiny and many."""

from __future__ import annotations


def on_one_thread() -> None:
    """Threads that share these sums wait for each other by spinning: beside other work that took 12 s an example."""
    import torch

    torch.set_num_threads(1)


def forget_compiled() -> None:
    """What was compiled for models that no later example asks for.

    XLA is left to optimise: told not to it compiles in half the time, but rounds up to one and a half times as far,
    which the measured tolerances do not allow for.
    """
    import jax

    jax.clear_caches()
