"""Mutants of the Flax reference, which show that detection does not depend on PyTorch."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant

FLAX = "reference.in_flax."


@mutant("flax-logits-bias-dropped", "Flax: final_logits_bias is not added", "logits", backend="mutant-flax")
def bias_dropped(patch: Patches) -> None:
    def make(original):
        return lambda self, hidden: original(self, hidden) - self.final_logits_bias

    patch(f"{FLAX}bart:BartForConditionalGeneration.score", make)


@mutant(
    "flax-gelu-by-tanh",
    "Flax: GELU is the tanh approximation, the default of jax.nn.gelu",
    "encoder.hidden.1",
    backend="mutant-flax",
)
def gelu_by_tanh(patch: Patches) -> None:
    def make(original):
        import jax

        return lambda hidden: jax.nn.gelu(hidden, approximate=True)

    patch(f"{FLAX}activations:ACTIVATIONS[gelu]", make)


@mutant(
    "flax-positions-begin-early",
    "Flax: position embeddings are read one row too early",
    "encoder.hidden.0",
    backend="mutant-flax",
)
def position_offset(patch: Patches) -> None:
    patch(
        f"{FLAX}embeddings:LearnedPositions.__call__",
        lambda original: lambda self, length, start=0: original(self, length, start - 1),
    )
