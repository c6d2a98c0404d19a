"""Checkpoints of BERT, RoBERTa and GPT-2 for a witness, batches, and what both references and rounding errors are
there.

Sizes and switches are what keras-hub's backbones can be; keys that only its converters read have any value.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from parity.backends.reference.reversed_widths import WIDTHS
from parity.backends.torch_util import compute_as
from parity.core.subject import Variant, noise_floor_ensemble
from parity.core.tensors import TensorSpec
from parity.judge.tolerance import UNIT_ROUNDOFF, NoiseFloor, measure
from parity.tools.fuzz import architectures as draw
from reference import in_flax, in_torch
from reference.config import read_config
from reference.names import Table, table_of
from reference.weights import read_weights

PAD, LAYERS, WIDTH = 1, 2, 28
_BERT = {
    "vocab_size": 83,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 19,
    "pad_token_id": PAD,
    "hidden_dropout_prob": 0.1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **_BERT, "type_vocab_size": 2, "hidden_act": "gelu_new", "layer_norm_eps": 1e-12},
    "roberta": {
        "model_type": "roberta",
        **_BERT,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 83,
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": 4,
        "n_positions": 19,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "resid_pdrop": 0.1,
    },
}
WITH_HEAD = {"bert": "BertLMHeadModel", "roberta": "RobertaForCausalLM", "gpt2": "GPT2LMHeadModel"}
BARE = {"bert": "BertModel", "roberta": "RobertaModel"}
PACKAGES = {"reference-torch": in_torch, "reference-flax": in_flax}
BATCH, LENGTH = 3, 11
Batch = dict[str, np.ndarray]
Answer = dict[str, np.ndarray]


def write(directory: Path, family: str) -> Path:
    """A checkpoint with a head; every weight drawn, but for a pooler that keras-hub wants and nobody sees, and types.

    RoBERTa has no types of tokens (Liu et al. 2019, section 4.2), keras-hub's no table for them, and every converted
    checkpoint a row of zeros.
    """
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(CONFIGS[family], indent=2), encoding="utf-8")
    rng = np.random.default_rng(20261125)
    drawn = draw.weights(table_of(read_config(directory), WITH_HEAD[family]), rng, 0.2)
    if family == "bert":
        drawn["bert.pooler.dense.weight"], drawn["bert.pooler.dense.bias"] = np.eye(WIDTH), np.zeros(WIDTH)
    if family == "roberta":
        drawn["roberta.embeddings.token_type_embeddings.weight"] *= 0
    write_weights(directory, drawn)
    return directory


def write_weights(directory: Path, weights: Mapping[str, np.ndarray]) -> None:
    single = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
    save_file(single, directory / "model.safetensors", metadata={"format": "pt"})


def batches() -> list[Batch]:
    """Rows of unequal length, and rows of which tokens anywhere but the first are hidden; two types of tokens."""
    rng = np.random.default_rng(7)
    lengths = np.array([LENGTH, 8, 5])
    ragged, holes = np.arange(LENGTH) < lengths[:, None], rng.random((BATCH, LENGTH)) < 0.6
    holes[:, 0] = True
    found = []
    for mask, padding in ((ragged, ~ragged), (holes, np.zeros_like(holes))):
        ids = np.where(padding, PAD, rng.integers(4, 83, mask.shape))
        types = rng.integers(0, 2, mask.shape)
        found.append({"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": types})
    return found


@dataclass(frozen=True)
class Reference:
    """One reference with one checkpoint's weights, told to compute in one way."""

    package: ModuleType
    directory: Path
    variant: Variant
    dtype: str

    def __call__(self, batch: Batch) -> Answer:
        """``hidden.0`` … and ``logits`` ``[batch, length, …]``: of the bare encoder's last states, or a decoder's."""
        if self.variant.permuted:
            batch = {name: array[::-1].copy() for name, array in batch.items()}
        family = read_config(self.directory).model_type
        whole = self._built(WITH_HEAD[family])
        given = self.package.as_inputs(whole, batch)
        if family in BARE:
            types = given["token_type_ids"] if family == "bert" else None
            states = self._built(BARE[family]).encode(given["input_ids"], given["attention_mask"], None, types)
            states = states.hidden_states
            logits = whole.score(states[-1])
        else:
            decoded = whole.decode(given["input_ids"], None, None, given["attention_mask"])
            states, logits = decoded.hidden_states, decoded.logits
        way = -1 if self.variant.reversed_widths else 1
        named = {f"hidden.{layer}": self._host(state)[..., ::way] for layer, state in enumerate(states)}
        found = {**named, "logits": self._host(logits)}
        return {name: array[::-1] for name, array in found.items()} if self.variant.permuted else found

    @functools.lru_cache(2)  # noqa: B019 - the two models of the reference that is being asked
    def _built(self, model_class: str) -> Any:
        config = read_config(self.directory)
        weights = read_weights(self.directory, config, model_class=model_class)
        given = reversed_widths(table_of(config, model_class), weights) if self.variant.reversed_widths else weights
        how = {"dtype": self.dtype, "attention": self.variant.attention}
        return self.package.build(config, given, model_class=model_class, **how)

    @staticmethod
    def _host(array: Any) -> np.ndarray:
        return np.asarray(array.detach() if hasattr(array, "detach") else array)


def reversed_widths(table: Table, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Canonical weights with every width reversed, in the parts that a family fuses too
    (``backends.reversed_widths``)."""

    def flipped() -> Iterator[tuple[str, np.ndarray]]:
        for row in table.rows:
            words = row.parameter.axes[:: -1 if row.transposed else 1]
            axes = [axis for axis, word in enumerate(words) if word in (*WIDTHS, "in", "out")]
            yield row.ours, np.flip(row.taken(weights[row.name]), axes)

    return {name: np.ascontiguousarray(array) for name, array in table.canonical(flipped())}


def kept(answer: Answer, batch: Batch) -> Answer:
    """The tokens that are seen, ``[tokens, …]``."""
    return {name: array[batch["attention_mask"] == 1] for name, array in answer.items()}


@dataclass(frozen=True)
class Truth:
    """What a checkpoint computes, by batch, as each reference has it in float64, and what rounding errors are."""

    answers: dict[str, list[Answer]]
    noise_floor: NoiseFloor

    def out_of_tolerance(self, reference: str, answers: list[Answer]) -> list[str]:
        """The tensors in which a witness leaves its tolerance in one batch or another, in data-flow order."""
        found = dict.fromkeys(self.answers[reference][0], False)
        for batch, answer, truth in zip(batches(), answers, self.answers[reference], strict=True):
            for name, array in kept(answer, batch).items():
                error, tolerance = measure(array, truth[name]), self.noise_floor.tolerance(name, "keras-hub")
                found[name] |= not (error.slice <= tolerance.slice and error.element <= tolerance.element)
        return [name for name, out in found.items() if out]


@functools.cache
def truth_of(directory: Path) -> Truth:
    """Both references in float64; and in float32 as every member of the ensemble that sets tolerances.

    Each member is measured against its own reference: what is wrong in one of them is no rounding error of the other's.
    """
    import torch

    threads, answers = torch.get_num_threads(), {}
    for name, package in PACKAGES.items():
        asked = Reference(package, directory, Variant(), "float64")
        answers[name] = [kept(asked(batch), batch) for batch in batches()]
    noise_floor = NoiseFloor(UNIT_ROUNDOFF["float32"])
    for member in noise_floor_ensemble("cpu", "float32"):
        variant = Variant.parse(member.variant)
        compute_as(variant, threads)
        asked = Reference(PACKAGES[member.backend], directory, variant, "float32")
        for batch, truth in zip(batches(), answers[member.backend], strict=True):
            for name, array in kept(asked(batch), batch).items():
                spec = TensorSpec(name, name.partition(".")[0], ("tokens", "width"))
                noise_floor.add(member.backend, spec, measure(array, truth[name]))
    compute_as(Variant(), threads)
    return Truth(answers, noise_floor)
