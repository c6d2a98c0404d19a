"""What asks the witness of BERT, RoBERTa and GPT-2: ``python -m tests.keras_hub.ask_backbones FOLDER CHECKPOINT…``.

``FOLDER/CHECKPOINT/FAULT.safetensors`` holds the tensors that the witness with one mistake gives in every batch
(``none``: the witness as it is).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from parity.backends.engines.keras_hub_backend import KerasHub
from tests.keras_hub.ask import Change, altered, exchanged, one_row_1_percent_off, one_row_early
from tests.keras_hub.backbones import WIDTH, batches, write_weights
from tests.keras_hub.keras_hub_backbones import HEADS, Backbone


def one_part_on(fused: np.ndarray) -> np.ndarray:
    """Keys for queries, values for keys, queries for values."""
    return np.roll(fused, -WIDTH, axis=-1)


def of_bert(family: str) -> dict[str, tuple[Change, str]]:
    """What BERT and RoBERTa can both have wrong."""
    first, second = (f"{family}.encoder.layer.{layer}." for layer in range(2))
    return {
        "positions one row early": (
            altered(f"{family}.embeddings.position_embeddings.weight", one_row_early),
            "hidden.0",
        ),
        "padding attended to": (altered("attention_mask", np.ones_like), "hidden.1"),
        "norms exchanged": (exchanged(f"{first}attention.output.LayerNorm", f"{first}output.LayerNorm"), "hidden.1"),
        "layers exchanged": (exchanged(first, second), "hidden.1"),
        "kernel transposed": (altered(f"{second}attention.output.dense.weight", np.transpose), "hidden.2"),
        "keys and values exchanged": (
            exchanged(f"{second}attention.self.key", f"{second}attention.self.value"),
            "hidden.2",
        ),
        "one row of one layer 1 % off": (altered(f"{second}output.dense.weight", one_row_1_percent_off), "hidden.2"),
        "the head's map transposed": (altered(f"{HEADS[family][0]}.weight", np.transpose), "logits"),
        "the head's bias left out": (altered(HEADS[family][2], np.zeros_like), "logits"),
    }


_FIRST, _SECOND = "transformer.h.0.", "transformer.h.1."
FAULTS: dict[str, dict[str, tuple[Change, str]]] = {
    "bert": {**of_bert("bert"), "types left out": (altered("token_type_ids", np.zeros_like), "hidden.0")},
    "roberta": of_bert("roberta"),
    "gpt2": {
        "positions one row early": (altered("transformer.wpe.weight", one_row_early), "hidden.0"),
        "padding attended to": (altered("attention_mask", np.ones_like), "hidden.1"),
        "norms exchanged": (exchanged(f"{_FIRST}ln_1", f"{_FIRST}ln_2"), "hidden.1"),
        "layers exchanged": (exchanged(_FIRST, _SECOND), "hidden.1"),
        "fused parts in another order": (altered(f"{_FIRST}attn.c_attn.weight", one_part_on), "hidden.1"),
        "kernel transposed": (altered(f"{_SECOND}attn.c_proj.weight", np.transpose), "hidden.2"),
        "one row of one layer 1 % off": (altered(f"{_SECOND}mlp.c_fc.weight", one_row_1_percent_off), "hidden.2"),
        "the last norm left out": (altered("transformer.ln_f.weight", np.ones_like), "hidden.2"),
    },
}
"""By family: what is done to the weights or to the inputs, and the first tensor that must leave its tolerance."""


def answer_with_faults(checkpoint: Path, out: Path) -> None:
    """Asks one backbone after each fault in turn."""
    backbone, original = Backbone(checkpoint), load_file(checkpoint / "model.safetensors")
    faulty = Path(shutil.copytree(checkpoint, out / "faulty"))
    for fault, (change, _) in {"none": (dict, ""), **FAULTS[checkpoint.name]}.items():
        found = {}
        for number, batch in enumerate(batches()):
            arrays = change(original | batch)
            inputs = {name: arrays.pop(name) for name in batch}
            write_weights(faulty, arrays)
            backbone.read(faulty)
            found |= {f"{number}/{name}": array for name, array in backbone(**inputs).items()}
        save_file(found, out / f"{fault}.safetensors")


def main(folder: Path, *checkpoints: Path) -> None:
    KerasHub().setup(threads=1, device="cpu", cache=folder)
    for checkpoint in checkpoints:
        answer_with_faults(checkpoint, folder / checkpoint.name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
