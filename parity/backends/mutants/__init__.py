"""Deliberately broken implementations: what the checks must catch, each a small change of a reference.

A mutant is a function that is given ``Patches`` and exchanges a few attributes of ``reference.in_torch`` (or
``in_flax``, or ``reference.generation``). It is asked as a variant of the backend ``mutant`` (or ``mutant-flax``), so
that a worker goes through all of them, and it never comes near the oracle or the noise floor, which are other
processes.
``parity selftest`` judges them all.
"""

from __future__ import annotations

from parity.backends.mutants import (
    attention,
    cache,
    composition,
    config,
    embeddings,
    generation,
    heads,
    in_flax,
    labels,
    layers,
    loading,
    masks,
    outputs,
    signals,
    speech,
    tokenizer,
)
from parity.backends.mutants.base import MUTANTS, UNCHANGED, Mutant, Patches, applied

__all__ = ["FAMILIES", "MUTANTS", "UNCHANGED", "Mutant", "Patches", "applied"]

_MODULES = (
    embeddings,
    masks,
    attention,
    layers,
    heads,
    labels,
    cache,
    generation,
    composition,
    speech,
    loading,
    outputs,
    tokenizer,
    config,
    signals,
    in_flax,
)
FAMILIES = tuple(module.__name__.rpartition(".")[2] for module in _MODULES)
"""What they are about, in the order in which they are shown."""
