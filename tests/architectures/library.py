"""The library's models, every parameter drawn at random, and what they answer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.tools.calibrate.plan import LARGEST_GAIN

BATCH, SRC, TGT, LONGEST = 3, 7, 5, 9
SAMPLES = 150


def model_of(config: dict[str, Any], model_class: str, rng: np.random.Generator, widest: int) -> Any:
    """A model of a drawn config with drawn weights, float64, in evaluation mode, on its plain attention.

    Args:
        widest: how many inputs a number of a layer is a sum over, at most: the wider, the smaller the weights, so that
            no layer stretches what it is given more than those the tolerances were measured on (``LARGEST_GAIN``).
    """
    import torch
    import transformers

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    known = transformers.AutoConfig.for_model(**_halves(config, transformers))
    model = getattr(transformers, model_class)(known).double().eval()
    spread = float(rng.uniform(0.1, min(0.35, LARGEST_GAIN / widest**0.5)))
    running = [(n, b) for n, b in model.named_buffers() if "running" in n]
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *running]:
            module, leaf = ("." + name).split(".")[-2:]
            is_norm = leaf == "weight" and ("norm" in module.lower() or module.startswith("ln_"))
            drawn = rng.normal(1.0 if is_norm else 0.0, spread, tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(np.abs(drawn) + 0.1 if "running_var" in name else drawn))
        if getattr(model, "final_logits_bias", None) is not None:
            model.final_logits_bias.copy_(torch.from_numpy(rng.normal(0, spread, model.final_logits_bias.shape)))
    model.tie_weights()
    for module in (model, getattr(model, "encoder", None), getattr(model, "decoder", None)):
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    return model


def _halves(config: dict[str, Any], transformers: Any) -> dict[str, Any]:
    """A composition's halves as configs of their own, with every default filled in."""
    filled = {
        which: transformers.AutoConfig.for_model(**config[which]).to_dict()
        for which in ("encoder", "decoder")
        if isinstance(config.get(which), dict)
    }
    return {**config, **filled}


def inputs_of(config: dict[str, Any], model_class: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A ragged batch, and whatever the class wants to be asked for a loss."""
    decoder, mask = config.get("decoder", config), np.ones((BATCH, SRC), np.int64)
    vocab, source_vocab = decoder["vocab_size"], config.get("encoder", config).get("vocab_size", decoder["vocab_size"])
    mask[1, SRC - int(rng.integers(1, 4)) :] = 0
    ids = np.where(mask, rng.integers(4, source_vocab, mask.shape), 1)
    if model_class.startswith("BartFor"):
        ids[np.arange(BATCH), mask.sum(1) - 1] = 3
    labels = rng.integers(4, vocab, (BATCH, TGT))
    labels[2, 3:] = -100
    given = {"input_ids": ids, "attention_mask": mask}
    if config["model_type"] == "speech-encoder-decoder":
        mask = np.ones((BATCH, SAMPLES), np.int64)
        mask[1, SAMPLES - int(rng.integers(20, 60)) :] = 0
        given = {"input_values": rng.normal(size=mask.shape) * mask, "attention_mask": mask}
    if model_class == "BartModel":
        return given
    if model_class == "BartForQuestionAnswering":
        return {**given, "start_positions": np.array([1, SRC + 2, 4]), "end_positions": np.array([2, SRC - 1, 6])}
    if model_class == "BartForSequenceClassification":
        return {**given, "labels": _class_labels(config, rng)}
    if model_class.endswith(("ForCausalLM", "LMHeadModel", "GenerationDecoder")):
        labels = np.where(mask, ids, -100)
        if config["add_cross_attention"]:
            width = config.get("d_model") or config.get("hidden_size") or config.get("n_embd")
            given["encoder_hidden_states"] = rng.normal(size=(BATCH, TGT, width))
            given["encoder_attention_mask"] = np.array([[1] * TGT, [1] * (TGT - 2) + [0] * 2, [1] * TGT])
    return {**given, "labels": labels}


def _class_labels(config: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    number, kind = len(config["id2label"]), config["problem_type"]
    if kind == "single_label_classification":
        return rng.integers(0, number, BATCH)
    drawn = rng.normal(size=(BATCH, number))
    return drawn if kind == "regression" else (drawn > 0).astype(np.float64)


def in_dtype(model: Any, dtype: str) -> Any:
    """The model itself in float64, a copy of it in another precision."""
    import torch

    return model if dtype == "float64" else copy.deepcopy(model).to(getattr(torch, dtype))


def tensors_of(model: Any, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Host arrays as the model takes them: ids and masks int64, others in its precision."""
    import torch

    kinds = {name: model.dtype if array.dtype.kind == "f" else torch.int64 for name, array in given.items()}
    return {name: torch.as_tensor(array, dtype=kinds[name]) for name, array in given.items()}


def call(model: Any, given: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The fields of the documented call as arrays, and the loss's gradient by every parameter that has one."""
    import torch

    out = model(**tensors_of(model, given), output_hidden_states=True, output_attentions=True)
    fields = {name: as_arrays(value) for name, value in out.items() if name != "past_key_values"}
    if fields.get("loss") is None:
        return fields, {}
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(out.loss, list(parameters.values()), allow_unused=True)
    return fields, {n: g.numpy() for n, g in zip(parameters, found, strict=True) if g is not None}


def as_arrays(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [as_arrays(each) for each in value]
    return None if value is None else value.detach().numpy()


def cache(model: Any, given: Mapping[str, np.ndarray]) -> list[list[np.ndarray]]:
    """Layer by layer self-attention's key and value, then cross-attention's, after a pass over all decoder inputs."""
    import torch

    # BertGenerationDecoder keeps nothing where there are labels, and BERT's fused attention makes its mask in float32,
    # which the lowest number of float64 does not fit into: asked for attentions, it is the plain one.
    given = {name: array for name, array in given.items() if name != "labels"}
    with torch.no_grad():
        out = model(**tensors_of(model, given), use_cache=True, output_attentions=True)
    kept = out.past_key_values.to_legacy_cache()
    return [[array.numpy() for array in layer if array is not None] for layer in kept]


def generate(model: Any, given: Mapping[str, np.ndarray], beams: int) -> np.ndarray:
    """Text of at most ``LONGEST`` tokens, int64 ``[batch, length]``.

    Args:
        given: the encoder's inputs, its mask among them.
    """
    tokens = {"decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 3, "forced_eos_token_id": None}
    how = {"max_length": LONGEST, "min_length": 0, "num_beams": beams, "do_sample": False}
    return model.generate(**tensors_of(model, given), **how, **tokens).numpy()
