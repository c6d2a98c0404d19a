"""Mutants of outputs: parameters, fields, shapes, dtypes, and dependence between rows."""

from __future__ import annotations

from parity.backends.mutants.base import Patches, mutant
from parity.backends.mutants.loading import LAYER, changed

ADAPTER = "parity.backends.reference.outputs:"
PARAMETERS = "reference.in_torch:canonical_parameters"


def _whole(patch: Patches, change) -> None:
    """Applies ``change`` to a dict of the fields of a call."""
    patch(f"{ADAPTER}whole", lambda original: lambda output: change(dict(original(output))))


@mutant("parameter-left-out", "one parameter is missing from the model", f"{LAYER}fc1.bias")
def left_out(patch: Patches) -> None:
    def make(original):
        return lambda model: ((name, array) for name, array in original(model) if name != f"{LAYER}fc1.bias")

    patch(PARAMETERS, make)


@mutant(
    "parameter-random-each-time",
    "one weight is random at every load",
    f"{LAYER}fc1.weight",
    history="known issue hf-torch-untied-tables-random",
)
def random_each_time(patch: Patches) -> None:
    def change(held):
        import numpy as np

        array = held[f"{LAYER}fc1.weight"]
        held[f"{LAYER}fc1.weight"] = np.random.default_rng().normal(0, 0.02, array.shape).astype(array.dtype)

    changed(patch, change)


@mutant("tied-head-copied", "the tied head is a separate copy of the embedding", "lm_head.weight")
def head_copied(patch: Patches) -> None:
    def make(original):
        def parameters(model):
            held = dict(original(model))
            yield from held.items()
            yield "lm_head.weight", held["model.shared.weight"].copy()

        return parameters

    patch(PARAMETERS, make)
    patch(f"{ADAPTER}one_table", lambda original: lambda table, held: [])


@mutant("attentions-not-returned", "the encoder's attentions are requested but not returned", "encoder.attention.0")
def attentions_lost(patch: Patches) -> None:
    def change(fields):
        fields.pop("encoder_attentions", None)
        return fields

    _whole(patch, change)


@mutant("fields-in-another-order", "output fields are in another order than documented", "forward")
def another_order(patch: Patches) -> None:
    _whole(patch, lambda fields: dict(reversed(fields.items())))


@mutant("loss-in-an-array", "the loss has shape [1] instead of []", "loss")
def loss_in_array(patch: Patches) -> None:
    _whole(patch, lambda fields: {name: each[None] if name == "loss" else each for name, each in fields.items()})


@mutant(
    "logits-promoted",
    "logits are float64 although the model is float32",
    "logits",
    history="JAX and NumPy promote where a constant is of another dtype",
)
def promoted(patch: Patches) -> None:
    _whole(patch, lambda fields: {name: each.double() if name == "logits" else each for name, each in fields.items()})


@mutant("cache-axes-moved", "the cache has axes [batch, length, heads, head_dim]", "decoder.self_key.0")
def axes_moved(patch: Patches) -> None:
    def make(original):
        return lambda cache: [[batch, length, heads, size] for batch, heads, length, size in original(cache)]

    patch(f"{ADAPTER}_layout", make)


@mutant(
    "rows-know-each-other",
    "in generation, every row has the batch's mean logits",
    "generate.*",
    writes=True,
)
def rows_know(patch: Patches) -> None:
    def make(original):
        def logits(self, tokens):
            found = original(self, tokens)
            return found * 0 + found.mean(axis=0)

        return logits

    patch("generation:CachedDecoder.logits", make)


@mutant(
    "batch-statistics", "a tenth of the batch's mean is subtracted from the decoder's embeddings", "decoder.hidden.0"
)
def batch_statistics(patch: Patches) -> None:
    def make(original):
        def embed(self, embedded, start):
            found = original(self, embedded, start)
            return found - 0.1 * found.mean(dim=0, keepdim=True)

        return embed

    patch("bart:BartDecoder.embed", make)
