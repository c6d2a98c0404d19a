"""Everything a model answers about an example, as arrays under one set of names, whoever is asked.

Names: the documented fields, numbered where there are several (``decoder_hidden_states[0]``); ``cache 0.1`` (layer 0,
the second array); ``logits of the last piece``; ``gradient of NAME``, canonical.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from parity.core.subject import Variant
from parity.core.tensors import TensorSpec
from reference import in_flax, in_torch
from reference.in_torch.labels import cross_entropy
from reference.names import table_of
from tests.architectures import library, reversed_widths
from tests.architectures.example import Example

Answers = dict[str, np.ndarray]
REFERENCES: dict[str, ModuleType] = {"torch": in_torch, "flax": in_flax}
PIECES = (slice(0, 3), slice(3, None))
"""A decoder with a cache is fed its tokens in two calls."""


def kind_of(name: str) -> str:
    """What ``parity.core.tensors`` calls a tensor of this sort."""
    if name.startswith("gradient of "):
        return "gradient"
    for word, kind in (
        ("cache", "cache"),
        ("loss", "loss"),
        ("cross_attentions", "cross-attention"),
        ("attentions", "attention"),
        ("logits", "logits"),
    ):
        if word in name:
            return kind
    return "hidden"


def of_library(asked: Example, dtype: str) -> Answers:
    """PyTorch transformers in one precision, on its plain attention."""
    model = library.in_dtype(asked.model, dtype)
    fields, gradients = library.call(model, asked.given)
    found = dict(_flat(fields))
    for name, gradient in gradients.items():
        found[f"gradient of {asked.table.entry(name).name}"] = gradient
    if asked.stands_alone:
        found["logits of the last piece"] = fields["logits"][:, PIECES[1]]
        kept = library.cache(model, asked.given)
    elif asked.writes_text:
        given = asked.source | {"decoder_input_ids": asked.tokens}
        found["logits of the last piece"] = library.call(model, given)[0]["logits"][:, PIECES[1]]
        kept = library.cache(model, given)
    else:
        kept = []
    return {**found, **_named(kept)}


def of_reference(
    asked: Example, reference: str, dtype: str, variant: str = "eager", loss_in_float32: bool = False
) -> Answers:
    """One of the references.

    Args:
        loss_in_float32: the loss is taken of the logits in float32, as the library does for decoders that stand alone
            (torch only).
    """
    how, package = Variant.parse(variant), REFERENCES[reference]
    weights, given, tokens = asked.weights, asked.given, asked.tokens
    if how.reversed_widths:
        weights, given = reversed_widths.weights(asked.table, weights), reversed_widths.inputs(given)
    if how.permuted:
        given, tokens = {name: array[::-1].copy() for name, array in given.items()}, tokens[::-1].copy()
    model = package.build(asked.config, weights, model_class=asked.model_class, dtype=dtype, attention=how.attention)
    found = dict(_flat(_called(asked, model, package, given)))
    found |= _in_pieces(asked, model, package, given, tokens)
    gradients = {}
    if "loss" in found:
        take = _loss_in_float32 if loss_in_float32 else package.loss_and_gradients
        found["loss"], gradients = take(model, given)
        found["loss"] = np.asarray(found["loss"])
    found = {name: _restored(name, array, how) for name, array in found.items()}
    gradients = reversed_widths.weights(asked.table, gradients) if how.reversed_widths else gradients
    return found | {f"gradient of {name}": array for name, array in gradients.items()}


def _restored(name: str, array: np.ndarray, how: Variant) -> np.ndarray:
    array = reversed_widths.answer(kind_of(name), array) if how.reversed_widths else array
    return array[::-1] if how.permuted and array.ndim else array


def _called(asked: Example, model: Any, package: ModuleType, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The documented call's fields, those of a head's model beside its logits, as the library has them."""
    fields = _fields(model(**package.as_inputs(model, given)))
    if asked.model_class == "SpeechEncoderDecoderModel":
        # Documented are the encoder's last states; what comes is their projection (transformers 4.57.6,
        # modeling_speech_encoder_decoder.py, forward), which the text model does not give.
        fields["encoder_last_hidden_state"] = model.memory(fields["encoder_last_hidden_state"])
    return fields


def _fields(output: Any) -> dict[str, Any]:
    named = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    states = named.pop("states", None)
    inner = {} if states is None else _fields(states)
    return named | {name: value for name, value in inner.items() if name != "last_hidden_state"}


def _in_pieces(
    asked: Example, model: Any, package: ModuleType, given: Mapping[str, np.ndarray], tokens: np.ndarray
) -> Answers:
    """The decoder's inputs one piece after the other: the logits of the last, and what is kept in the end."""
    inputs = package.as_inputs(model, given)
    if asked.stands_alone:
        tokens, memory, source_mask = given["input_ids"], inputs.get("encoder_hidden_states"), None
        masks = (inputs.get("encoder_attention_mask"), inputs["attention_mask"])
    elif asked.writes_text:
        memory = model.encode(inputs[model.main_input], inputs["attention_mask"]).last_hidden_state
        source_mask = model.source_mask(inputs["attention_mask"], memory)
        masks = (source_mask, None)
    else:
        return {}
    cache = model.start_cache(memory, tokens.shape[1], len(tokens))
    for piece in PIECES:
        output, cache = model.step(package.as_inputs(model, {"ids": tokens[:, piece]})["ids"], cache, *masks)
    return {"logits of the last piece": to_host(output.logits), **_named(cache.past_key_values())}


def _loss_in_float32(model: Any, given: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Of a decoder that stands alone, everything but the loss itself in its own precision (loss/loss_utils.py)."""
    import torch

    inputs = in_torch.as_inputs(model, given)
    labels, shift = inputs.pop("labels"), int(model.labels_are_next)
    names, parameters = zip(*model.named_parameters(), strict=True)
    logits = model(**inputs).logits[:, : labels.shape[1] - shift]
    loss = cross_entropy(logits.float(), labels[:, shift:])
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    ours = zip(names, map(to_host, found), strict=True)
    return to_host(loss), dict(table_of(model.config, model.model_class).canonical(ours))


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in fields.items():
        if isinstance(value, (tuple, list)):
            yield from ((f"{name}[{index}]", to_host(each)) for index, each in enumerate(value))
        elif value is not None:
            yield name, to_host(value)


def _named(kept: Any) -> Answers:
    return {f"cache {i}.{j}": to_host(array) for i, layer in enumerate(kept) for j, array in enumerate(layer)}


def to_host(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


def spec_of(name: str, asked: Example) -> TensorSpec:
    """The tensor's kind, and the one whose size its error is measured by if not its own."""
    kind, scale_from = kind_of(name), None
    if kind == "loss":
        scale_from = "start_logits" if asked.model_class == "BartForQuestionAnswering" else "logits"
    elif kind == "gradient" and _is_zero(name, asked):
        scale_from = name.replace(".bias", ".weight")
    return TensorSpec(name, kind, (), scale_from=scale_from)


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
    if name.endswith("conv_layers.0.conv.bias") and asked.config.encoder.feat_extract_norm == "group":
        return True
    return name.endswith(("k_proj.bias", "key.bias"))
