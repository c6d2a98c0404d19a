"""One example of a family: a random model of the library, the canonical weights it has, and a batch."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from typing import Any

import numpy as np

from parity.tools.fuzz.architectures import ARCHITECTURES, widest
from reference.config import Config, config_of
from reference.names import Table, table_of
from tests.architectures import library


@dataclasses.dataclass(frozen=True)
class Example:
    """A drawn model of the library in float64, and what it is asked.

    Attributes:
        weights: under canonical names, float64.
        given: arguments of the documented call; ids and masks int64, others float64.
        tokens: what a decoder behind an encoder is fed in pieces, int64 ``[batch, tgt]``.
    """

    architecture: str
    model_class: str
    config: Config
    weights: dict[str, np.ndarray]
    given: dict[str, np.ndarray]
    tokens: np.ndarray
    model: Any

    @cached_property
    def table(self) -> Table:
        return table_of(self.config, self.model_class)

    @property
    def writes_text(self) -> bool:
        return self.model_class.endswith(("ConditionalGeneration", "EncoderDecoderModel"))

    @property
    def stands_alone(self) -> bool:
        """Whether it is a decoder and nothing else."""
        return self.model_class.endswith(("ForCausalLM", "LMHeadModel", "GenerationDecoder"))

    @property
    def has_kinks(self) -> bool:
        """Whether one of its activations has no derivative somewhere (``parity.core.tensors.gradient_tensors``)."""
        return '"relu"' in json.dumps(self.model.config.to_dict())

    @cached_property
    def masked_rows(self) -> frozenset[str]:
        """Canonical names of the tables whose row of padding gets no gradient by being looked up: torch.nn.Embedding
        with a ``padding_idx``, which nothing documents."""
        import torch

        owners = [m.weight for m in self.model.modules() if isinstance(m, torch.nn.Embedding) and m.padding_idx == 1]
        named = [n for n, p in self.model.named_parameters() if any(p is each for each in owners)]
        return frozenset(self.table.entry(name).name for name in named)

    @property
    def source(self) -> dict[str, np.ndarray]:
        """The encoder's inputs."""
        return {name: a for name, a in self.given.items() if name in ("input_ids", "input_values", "attention_mask")}


def example(architecture: str, shape: int, draw: int) -> Example:
    """Weights and inputs number ``draw`` at sizes number ``shape``: equal shapes compile once."""
    model_class, drawn = ARCHITECTURES[architecture]
    seed = sum(map(ord, architecture))
    raw = drawn(np.random.default_rng([seed, shape]))
    return example_of(architecture, model_class, raw, np.random.default_rng([seed, shape, draw]))


def example_of(architecture: str, model_class: str, raw: dict[str, Any], rng: np.random.Generator) -> Example:
    """A model of a drawn config with weights and a batch from ``rng``."""
    model = library.model_of(raw, model_class, rng, widest(raw))
    config = config_of(json.loads(json.dumps(model.config.to_dict())))
    table, weights = table_of(config, model_class), {}
    for name, tensor in model.state_dict().items():
        entry = table.entry(name)
        assert entry is not None, f"the table has no place for {name}"
        if entry.role in ("parameter", "buffer"):
            weights[entry.name] = tensor.numpy()
    assert set(weights) == set(table.expected()), sorted(set(table.expected()) ^ set(weights))
    given = library.inputs_of(raw, model_class, rng)
    vocab = raw.get("decoder", raw)["vocab_size"]
    tokens = rng.integers(4, vocab, (library.BATCH, library.TGT))
    return Example(architecture, model_class, config, weights, given, tokens, model)
