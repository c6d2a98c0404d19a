"""Deliberately broken implementations that the checks must detect, each a small change of a reference.

A mutant is a function that receives ``Patches`` and replaces a few attributes of ``reference.in_torch`` (or
``in_flax``, or ``reference.generation``). It runs as a variant of the backend ``mutant`` (or ``mutant-flax``), so that
one worker runs all of them. It cannot affect the oracle or the noise floor, which run in other processes.
``parity selftest`` evaluates all mutants.
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

__all__ = ["GROUPS", "MUTANTS", "UNCHANGED", "Mutant", "Patches", "applied"]

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
GROUPS = tuple(module.__name__.rpartition(".")[2] for module in _MODULES)
"""The components that mutants are grouped by, in the order of the report."""
