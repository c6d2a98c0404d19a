"""Deliberately broken implementations: what the checks must catch, each a small change of a reference.

A mutant is a function that is given ``Patches`` and exchanges a few attributes of ``reference.in_torch`` (or
``in_flax``, or ``reference.generation``). It is asked as a variant of the backend ``mutant`` (or ``mutant-flax``), so
that a worker goes through all of them, and it never comes near the oracle or the yardstick, which are other processes.
``parity selftest`` judges them all.
"""

from __future__ import annotations

from parity.mutants import (
    attention,
    cache,
    composition,
    embeddings,
    generation,
    heads,
    in_flax,
    labels,
    layers,
    loading,
    masks,
    signals,
    speech,
)
from parity.mutants.base import MUTANTS, UNCHANGED, Mutant, Patches, applied

__all__ = ["MUTANTS", "UNCHANGED", "Mutant", "Patches", "applied"]

FAMILIES = (embeddings, masks, attention, layers, heads, labels, cache, generation, composition, speech, loading)
"""The modules that define them, in the order in which they are shown; ``signals`` and ``in_flax`` come last."""
OTHERS = (signals, in_flax)
