"""What asks the witness: ``python -m tests.keras_hub.ask FOLDER CACHE CHECKPOINT…``.

A process of its own, where Keras may be told its backend. ``FOLDER/run`` becomes a
run directory in which the witness is the candidate; ``FOLDER/faults/CHECKPOINT/FAULT.safetensors`` holds the tensors
that the witness with one mistake gives in the standard forward case (``none``: the witness as it is).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from parity.backends.engines.keras_hub_backend import KerasHub
from parity.backends.limits.keras_hub import CLASS
from parity.backends.output_names import flatten
from parity.capture.pipeline import capture
from parity.cases.standard import standard_cases
from parity.checkpoint.inspection import inspect_checkpoint
from parity.core.case import Case
from parity.core.options import AuditOptions
from parity.core.subject import Variant
from reference.config import BartConfig
from reference.weights import read_weights

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays], Arrays]


def exchanged(one: str, other: str) -> Change:
    """All parameters of two modules in each other's place."""

    def change(arrays: Arrays) -> Arrays:
        swap = {one: other, other: one}
        place = re.compile("|".join(map(re.escape, swap)))
        return {place.sub(lambda found: swap[found[0]], name): array for name, array in arrays.items()}

    return change


def altered(name: str, alter: Callable[[np.ndarray], np.ndarray]) -> Change:
    """One array, a weight or an input, with something done to it."""
    return lambda arrays: {**arrays, name: np.ascontiguousarray(alter(arrays[name]))}


def one_row_early(table: np.ndarray) -> np.ndarray:
    return table[[0, *range(len(table) - 1)]]


def one_row_1_percent_off(weight: np.ndarray) -> np.ndarray:
    return np.concatenate([weight[:3], weight[3:4] * np.float32(1.01), weight[4:]])


_FIRST, _SECOND = "model.decoder.layers.0.", "model.decoder.layers.1."
_POSITIONS = "model.{}.embed_positions.weight"
FAULTS: dict[str, tuple[Change, str]] = {
    "source positions one row early": (altered(_POSITIONS.format("encoder"), one_row_early), "encoder.hidden.0"),
    "target positions one row early": (altered(_POSITIONS.format("decoder"), one_row_early), "decoder.hidden.0"),
    "kernel transposed": (
        altered("model.encoder.layers.1.self_attn.out_proj.weight", np.transpose),
        "encoder.hidden.2",
    ),
    "keys and values exchanged": (
        exchanged(f"{_SECOND}encoder_attn.k_proj", f"{_SECOND}encoder_attn.v_proj"),
        "decoder.hidden.2",
    ),
    "self- and cross-attention exchanged": (
        exchanged(f"{_FIRST}self_attn", f"{_FIRST}encoder_attn"),
        "decoder.hidden.1",
    ),
    "norms exchanged": (exchanged(f"{_FIRST}self_attn_layer_norm", f"{_FIRST}final_layer_norm"), "decoder.hidden.1"),
    "layers exchanged": (exchanged("model.encoder.layers.0.", "model.encoder.layers.1."), "encoder.hidden.1"),
    "one row of one layer 1 % off": (altered(f"{_SECOND}fc2.weight", one_row_1_percent_off), "decoder.hidden.2"),
    "final_logits_bias left out": (altered("final_logits_bias", np.zeros_like), "logits"),
    "source padding attended to": (altered("attention_mask", np.ones_like), "encoder.hidden.1"),
    "target padding attended to": (altered("decoder_attention_mask", np.ones_like), "decoder.hidden.1"),
}
"""What is done to the weights or to the inputs, and the first tensor that must leave its tolerance."""


def whole_passes(*given: Any) -> list[Case]:
    """The standard cases of one pass and no gradient: what the witness can be asked, and what sets its tolerances."""
    return [case for case in standard_cases(*given) if case.operation in ("forward", "repeat", "encode_decode")]


def answer_with_faults(checkpoint: Path, out: Path) -> None:
    """Asks one model after each fault in turn."""
    config = BartConfig.read(checkpoint)
    case = next(case for case in standard_cases(inspect_checkpoint(checkpoint).model_spec) if case.name == "forward")
    weights = dict(read_weights(checkpoint, config).items())
    original = weights | {name: np.array(rows) for name, rows in case.inputs.items()}
    model = KerasHub().load(checkpoint, Variant(), device="cpu", dtype="float32", model_class=CLASS)
    out.mkdir(parents=True)
    for fault, (change, _) in {"none": (dict, ""), **FAULTS}.items():
        arrays = change(original)
        model.put({name: arrays.pop(name) for name in weights})
        save_file(flatten(model.call(arrays), model.to_numpy)[0], out / f"{fault}.safetensors")


def main(folder: Path, cache: Path, *checkpoints: Path) -> None:
    own = AuditOptions(out=folder / "run", cache=cache, backends=["keras-hub/eager"], cases=whole_passes)
    capture(checkpoints, own)
    KerasHub().setup(threads=1, device="cpu", cache=cache)
    for checkpoint in checkpoints:
        answer_with_faults(checkpoint, folder / "faults" / checkpoint.name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
