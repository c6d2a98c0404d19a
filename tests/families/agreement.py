"""One example of a family: what the library answers, held against what both references answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from reference import in_flax, in_torch
from reference.config import Config
from reference.config.classes import CLASSES
from reference.config.composed import ENCODERS, EncoderDecoderConfig
from reference.config.composed import FAMILIES as READERS
from reference.generation import GenerationSettings
from reference.names import Table, table_of
from tests.families import library
from tests.families.draw import FAMILIES

REFERENCES = {"torch": in_torch, "flax": in_flax}
DOUBLE = 1e-12
"""Relative to a tensor's largest element: float64 keeps 16 digits, and a few layers lose two or three of them."""
GRADIENT = 1e-10
SINGLE = 2e-6
"""Losses of the library that it computes in float32 whatever the model's precision (loss/loss_utils.py)."""
BY_LOSS_UTILS = ("BertLMHeadModel", "RobertaForCausalLM", "GPT2LMHeadModel", "BertGenerationDecoder")
LIBRARY_NAMES = {"states.last_hidden_state": "last_hidden_state"}


@dataclasses.dataclass(frozen=True)
class Example:
    """A drawn model of the library with the canonical weights that it has, and a batch."""

    family: str
    model_class: str
    config: Config
    weights: dict[str, np.ndarray]
    given: dict[str, np.ndarray]
    model: Any

    @property
    def table(self) -> Table:
        return table_of(self.config, self.model_class)


def example(family: str, shape: int, draw: int) -> Example:
    """Weights and inputs number ``draw`` at sizes number ``shape``: equal shapes compile once."""
    model_class, drawn = FAMILIES[family]
    seed = sum(map(ord, family))
    raw = drawn(np.random.default_rng([seed, shape]))
    rng = np.random.default_rng([seed, shape, draw])
    model = library.model_of(raw, model_class, rng)
    config = config_of(json.loads(json.dumps(model.config.to_dict())))
    table, weights = table_of(config, model_class), {}
    for name, tensor in model.state_dict().items():
        entry = table.entry(name)
        assert entry is not None, f"the table has no place for {name}"
        if entry.role in ("parameter", "buffer"):
            weights[entry.name] = tensor.numpy()
    assert set(weights) == set(table.expected()), sorted(set(table.expected()) ^ set(weights))
    return Example(family, model_class, config, weights, library.inputs_of(raw, model_class, rng), model)


def config_of(data: dict[str, Any]) -> Config:
    assert data["model_type"] in CLASSES
    reader = EncoderDecoderConfig if data["model_type"] in ENCODERS else READERS[data["model_type"]]
    return reader.from_dict(data)


def differences(asked: Example, reference: str) -> Iterator[tuple[str, float, float]]:
    """What was compared: its name, how far apart (relative to its largest element), and how far it may be."""
    package = REFERENCES[reference]
    ours = package.build(asked.config, asked.weights, model_class=asked.model_class, dtype="float64")
    fields, gradients = library.call(asked.model, asked.given)
    answered = _fields(ours(**package.as_inputs(ours, asked.given)))
    if asked.model_class == "SpeechEncoderDecoderModel":
        # Documented are the encoder's last states; what comes is their projection (transformers 4.57.6,
        # modeling_speech_encoder_decoder.py, forward), which the text model does not give.
        answered["encoder_last_hidden_state"] = ours.memory(answered["encoder_last_hidden_state"])
    loss = SINGLE if asked.model_class in BY_LOSS_UTILS else DOUBLE
    for name, value in answered.items():
        wanted = fields.get(name)
        if value is None or wanted is None:
            assert (value is None and wanted is None) or name in ("hidden_states", "attentions"), name
            continue
        for index, (one, other) in enumerate(_pairs(value, wanted)):
            yield f"{name}[{index}]", _error(one, other), loss if name == "loss" else DOUBLE
    if gradients:
        yield from _gradients(asked, package, ours, gradients, SINGLE * 10 if loss == SINGLE else GRADIENT)
    if asked.model_class.endswith(("ConditionalGeneration", "EncoderDecoderModel")):
        yield from _generated(asked, package, ours)


def _fields(output: Any) -> dict[str, Any]:
    """By documented name; the states of a head's model stand beside its logits in the library."""
    named = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    states = named.pop("states", None)
    if states is not None:
        inner = _fields(states)
        named.update({name: value for name, value in inner.items() if name != "last_hidden_state"})
    return named


def _gradients(
    asked: Example, package: ModuleType, ours: Any, wanted: dict[str, np.ndarray], allowed: float
) -> Iterator[tuple[str, float, float]]:
    _, found = package.loss_and_gradients(ours, asked.given)
    entries = {name: asked.table.entry(name) for name in wanted}
    for name, gradient in wanted.items():
        mine = found.pop(entries[name].name)
        # torch.nn.Embedding(padding_idx=1) leaves the lookup of that row out of the gradient.
        rows = np.arange(len(gradient)) != 1 if "embed" in name or "shared" in name else slice(None)
        scale = np.abs(wanted[name.replace(".bias", ".weight")]).max() if _is_zero(name, asked) else 0.0
        yield f"gradient of {name}", _error(mine[rows], gradient[rows], scale), allowed
    for name, gradient in found.items():
        yield f"gradient of {name}, which has no part in the loss", float(np.abs(gradient).max()), 0.0


def _is_zero(name: str, asked: Example) -> bool:
    """Whether theory says that a gradient is zero, so that what there is of it is rounding, at the weight's size.

    Softmax is unchanged by one number added to all its inputs: a key's bias adds it to every key's score, and what
    is added to every position's state to every position's score as an answer's end. A normalisation over time takes
    away what is added at all times alike.
    """
    if asked.model_class == "BartForQuestionAnswering":
        last = f"decoder.layers.{asked.config.decoder_layers - 1}.final_layer_norm.bias"
        if name.endswith(("qa_outputs.bias", last)):
            return True
    speech = getattr(asked.config, "encoder", None)
    if name.endswith("conv_layers.0.conv.bias") and speech.feat_extract_norm == "group":
        return True
    return name.endswith(("k_proj.bias", "key.bias"))


def _generated(asked: Example, package: ModuleType, ours: Any) -> Iterator[tuple[str, float, float]]:
    main = "input_values" if "input_values" in asked.given else "input_ids"
    source = {name: asked.given[name] for name in (main, "attention_mask")}
    for beams in (1, 3):
        tokens = {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 3}
        settings = GenerationSettings.from_dict({"max_length": library.LONGEST, "num_beams": beams, **tokens})
        mine = package.generate(ours, source, settings).sequences
        other = library.generate(asked.model, source, beams)
        length = max(mine.shape[1], other.shape[1])
        padded = [np.pad(a, [(0, 0), (0, length - a.shape[1])], constant_values=1) for a in (mine, other)]
        yield f"text with {beams} beams", float((padded[0] != padded[1]).sum()), 0.0
    yield from _cached(asked, package, ours)


def _cached(asked: Example, package: ModuleType, ours: Any) -> Iterator[tuple[str, float, float]]:
    """The decoder's inputs in pieces of 3 and 2: the last logits, and what the library keeps after one pass."""
    encoded = ours.encode(*(package.as_inputs(ours, asked.given).get(n) for n in (ours.main_input, "attention_mask")))
    memory = encoded.last_hidden_state
    mask = ours.source_mask(package.as_inputs(ours, asked.given)["attention_mask"], memory)
    tokens = np.random.default_rng(0).integers(4, asked.config.vocab_size, (library.BATCH, library.TGT))
    cache = ours.start_cache(memory, library.TGT)
    for piece in (tokens[:, :3], tokens[:, 3:]):
        output, cache = ours.step(package.as_inputs(ours, {"ids": piece})["ids"], cache, mask)
    given = {k: v for k, v in asked.given.items() if k not in ("labels",)} | {"decoder_input_ids": tokens}
    fields, _ = library.call(asked.model, given)
    yield "logits of the last piece", _error(output.logits, fields["logits"][:, 3:]), DOUBLE
    kept = library.cache(asked.model, given)
    for layer, (mine, other) in enumerate(zip(cache.past_key_values(), kept, strict=True)):
        for part, (one, two) in enumerate(zip(mine, other, strict=True)):
            yield f"cache {layer}.{part}", _error(one, two), DOUBLE


def _pairs(ours: Any, theirs: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(theirs, list):
        yield from zip(ours, theirs, strict=True)
    else:
        yield ours, theirs


def _error(actual: Any, expected: np.ndarray, scale: float = 0.0) -> float:
    """The largest difference, relative to the largest expected element; infinite for another shape or NaN."""
    actual = np.asarray(actual.detach() if hasattr(actual, "detach") else actual, np.float64)
    if actual.shape != expected.shape:
        return float("inf")
    error = np.abs(actual - expected).max() / (max(np.abs(expected).max(), scale) or 1.0)
    return float(error) if np.isfinite(error) else float("inf")
