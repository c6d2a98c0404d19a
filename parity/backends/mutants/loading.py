"""Mutants of loading: parameters that differ from the file."""

from __future__ import annotations

import numpy as np

from parity.backends.mutants.base import Patches, mutant

LAYER = "model.decoder.layers.1."


def changed(patch: Patches, change) -> None:
    """Builds the model from arrays that ``change`` has modified, as a dict by canonical name, in place."""

    def make(original):
        def build(config, weights, **how):
            held = {name: np.array(weights[name]) for name in weights}
            change(held)
            return original(config, held, **how)

        return build

    patch("reference.in_torch:build", make)


@mutant(
    "square-weight-transposed",
    "a square weight is loaded transposed",
    f"{LAYER}self_attn.q_proj.weight",
    history="converting between PyTorch's [out, in] and Flax's [in, out]",
)
def transposed(patch: Patches) -> None:
    def change(held):
        held[f"{LAYER}self_attn.q_proj.weight"] = held[f"{LAYER}self_attn.q_proj.weight"].T

    changed(patch, change)


def _swapped(patch: Patches, one: str, other: str) -> None:
    def change(held):
        held[one], held[other] = held[other], held[one]

    changed(patch, change)


@mutant(
    "keys-for-values",
    "the weights of the key and value projections are exchanged",
    f"{LAYER}encoder_attn.k_proj.weight",
    f"{LAYER}encoder_attn.v_proj.weight",
)
def keys_for_values(patch: Patches) -> None:
    _swapped(patch, f"{LAYER}encoder_attn.k_proj.weight", f"{LAYER}encoder_attn.v_proj.weight")


@mutant(
    "norm-weight-for-bias",
    "weight and bias of a layer normalisation are exchanged",
    f"{LAYER}final_layer_norm.weight",
    f"{LAYER}final_layer_norm.bias",
)
def weight_for_bias(patch: Patches) -> None:
    _swapped(patch, f"{LAYER}final_layer_norm.weight", f"{LAYER}final_layer_norm.bias")


@mutant(
    "last-layer-random",
    "the matrices of the last decoder layer keep their random initialisation",
    f"{LAYER}self_attn.q_proj.weight",
    f"{LAYER}self_attn.k_proj.weight",
    f"{LAYER}fc1.weight",
    f"{LAYER}self_attn.v_proj.weight",
    history="a parameter name that does not match, reported only by a warning",
)
def last_layer(patch: Patches) -> None:
    def change(held):
        rng = np.random.default_rng(0)
        for name, array in held.items():
            if name.startswith(LAYER) and array.ndim == 2:
                held[name] = rng.normal(0, 0.02, array.shape).astype(array.dtype)

    changed(patch, change)


@mutant("one-bit", "the lowest bit of one element of one weight is flipped", f"{LAYER}fc1.weight")
def one_bit(patch: Patches) -> None:
    def change(held):
        held[f"{LAYER}fc1.weight"].view(np.uint32)[3, 5] ^= 1

    changed(patch, change)


@mutant(
    "through-float16",
    "every parameter is rounded to float16",
    "model.shared.weight",
    history="a checkpoint that was saved in half precision and published as float32",
)
def through_float16(patch: Patches) -> None:
    def change(held):
        for name, array in held.items():
            held[name] = array.astype(np.float16).astype(array.dtype)

    changed(patch, change)


@mutant("one-bias-zero", "one bias is zero", f"{LAYER}fc2.bias")
def one_bias(patch: Patches) -> None:
    changed(patch, lambda held: held[f"{LAYER}fc2.bias"].fill(0))


@mutant(
    "layers-exchanged",
    "the first two decoder layers are exchanged",
    "model.decoder.layers.0.self_attn.k_proj.weight",
    "model.decoder.layers.0.self_attn.q_proj.weight",
)
def layers_exchanged(patch: Patches) -> None:
    def change(held):
        for name in [name for name in held if name.startswith("model.decoder.layers.0.")]:
            other = name.replace(".0.", ".1.", 1)
            held[name], held[other] = held[other], held[name]

    changed(patch, change)


@mutant("two-tokens-exchanged", "two rows of the token embedding are exchanged", "model.shared.weight")
def tokens_exchanged(patch: Patches) -> None:
    def change(held):
        table = held["model.shared.weight"]
        table[[5, 6]] = table[[6, 5]]

    changed(patch, change)


@mutant("logits-bias-not-loaded", "final_logits_bias is zero instead of the file's value", "final_logits_bias")
def bias_not_loaded(patch: Patches) -> None:
    changed(patch, lambda held: held["final_logits_bias"].fill(0))


@mutant(
    "encoder-positions-for-decoder",
    "the decoder's position embedding is a copy of the encoder's",
    "model.decoder.embed_positions.weight",
)
def positions_shared(patch: Patches) -> None:
    def change(held):
        held["model.decoder.embed_positions.weight"] = held["model.encoder.embed_positions.weight"]

    changed(patch, change)
