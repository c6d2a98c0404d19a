"""Not bugs but entirely different models: a numeric check that one of them passes is vacuous."""

from __future__ import annotations

import numpy as np

from parity.backends.mutants.base import Patches, mutant
from parity.backends.mutants.loading import changed

EVERYWHERE = (
    "bart-odd",
    "bart-labels",
    "bart-span",
    "bart-causal",
    "bert2bert-widths",
    "roberta2roberta",
    "bert2gpt2",
    "wav2vec2-mbart",
)


@mutant("zero-model", "every parameter is zero", "*", on=EVERYWHERE)
def zero(patch: Patches) -> None:
    def change(held):
        for array in held.values():
            array.fill(0)

    changed(patch, change)


@mutant("seeded-otherwise", "every parameter is redrawn with the same mean and standard deviation", "*", on=EVERYWHERE)
def seeded(patch: Patches) -> None:
    def change(held):
        rng = np.random.default_rng(1)
        for name, array in held.items():
            drawn = rng.normal(array.mean(), array.std() + 1e-3, array.shape)
            # A stored variance must not be negative.
            held[name] = (np.abs(drawn) if name.endswith("var") else drawn).astype(array.dtype)

    changed(patch, change)


@mutant("shuffled", "the elements of every parameter are shuffled", "*", on=EVERYWHERE)
def shuffled(patch: Patches) -> None:
    def change(held):
        rng = np.random.default_rng(2)
        for name, array in held.items():
            held[name] = rng.permutation(array.reshape(-1)).reshape(array.shape)

    changed(patch, change)
