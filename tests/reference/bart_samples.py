"""Small BART models and inputs whose axes all have sizes of their own, and the same models in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from reference.config import BartConfig
from reference.names import expected_parameters

BATCH, SRC, TGT, VOCAB = 2, 7, 11, 37
BASE = {
    "model_type": "bart",
    "vocab_size": VOCAB,
    "d_model": 15,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 5,
    "encoder_ffn_dim": 19,
    "decoder_ffn_dim": 23,
    "max_position_embeddings": 13,
    "scale_embedding": True,
    "activation_function": "gelu",
    "tie_word_embeddings": True,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "odd": BASE,
    "untied": {
        **BASE,
        "tie_word_embeddings": False,
        "scale_embedding": False,
        "activation_function": "gelu_new",
        "encoder_layers": 1,
        "decoder_layers": 2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "decoder_start_token_id": 3,
    },
    "relu": {**BASE, "activation_function": "relu", "encoder_layers": 1, "encoder_attention_heads": 5},
    "silu": {**BASE, "activation_function": "silu", "encoder_layers": 1, "decoder_attention_heads": 3},
}


@cache
def config(name: str) -> BartConfig:
    return BartConfig.from_dict(CONFIGS[name])


@cache
def weights(name: str) -> Mapping[str, np.ndarray]:
    """Random and far from zero, biases, norms and ``final_logits_bias`` too; float64 values that float32 holds."""
    rng = np.random.default_rng(len(name))
    shapes = {parameter: spec.shape for parameter, spec in expected_parameters(config(name)).items()}
    drawn = {parameter: rng.normal(0.1, 0.3, shape) for parameter, shape in shapes.items()}
    return {parameter: array.astype(np.float32).astype(np.float64) for parameter, array in drawn.items()}


@cache
def inputs(name: str) -> Mapping[str, np.ndarray]:
    """Everything the documented call takes but ``decoder_input_ids``: they come from the labels."""
    sizes, rng = config(name), np.random.default_rng(7)
    attention_mask = np.ones((BATCH, SRC), np.int64)
    attention_mask[1, 5:] = 0
    decoder_attention_mask = np.ones((BATCH, TGT), np.int64)
    decoder_attention_mask[0, 9:] = 0
    labels = rng.integers(4, VOCAB, (BATCH, TGT))
    labels[0, 8:] = labels[1, 3] = -100
    decoder_shape = (sizes.decoder_layers, sizes.decoder_attention_heads)
    return {
        "input_ids": rng.integers(4, VOCAB, (BATCH, SRC)),
        "attention_mask": attention_mask,
        "decoder_attention_mask": decoder_attention_mask,
        "head_mask": rng.integers(0, 5, (sizes.encoder_layers, sizes.encoder_attention_heads)) / 4,
        "decoder_head_mask": rng.integers(0, 5, decoder_shape) / 4,
        "cross_attn_head_mask": rng.integers(0, 5, decoder_shape) / 4,
        "labels": labels,
    }


def bare(name: str) -> dict[str, np.ndarray]:
    """``input_ids`` alone: everything else is a documented default."""
    return {"input_ids": inputs(name)["input_ids"]}


@cache
def torch_model(name: str, dtype: str = "float64", attention: str = "eager") -> Any:
    from reference import in_torch

    return in_torch.build(config(name), weights(name), dtype=dtype, attention=attention)


@cache
def flax_model(name: str, dtype: str = "float64", attention: str = "eager") -> Any:
    import jax

    from reference import in_flax

    # On from the start: switched on by the first float64 model, everything compiled before would be compiled again.
    jax.config.update("jax_enable_x64", True)
    return in_flax.build(config(name), weights(name), dtype=dtype, attention=attention)


@cache
def library_model(name: str, attention: str = "eager") -> Any:
    """``BartForConditionalGeneration`` of transformers in float64, with the same weights."""
    return library_of(CONFIGS[name], weights(name), attention)


def library_of(sizes: Mapping[str, Any], held: Mapping[str, np.ndarray], attention: str = "eager") -> Any:
    """The library's model of any config and weights under canonical names."""
    import torch
    from transformers import BartConfig as LibraryConfig
    from transformers import BartForConditionalGeneration

    model = BartForConditionalGeneration(LibraryConfig(**sizes, attn_implementation=attention)).double().eval()
    unlike = model.load_state_dict({k: torch.tensor(v) for k, v in held.items()}, strict=False)
    if (
        set(unlike.missing_keys)
        - {f"model.{s}.embed_tokens.weight" for s in ("encoder", "decoder")}
        - {"lm_head.weight"}
    ):
        raise AssertionError(f"transformers wants more parameters than ours: {unlike.missing_keys}")
    model.tie_weights()
    return model


def call_library(name: str, given: Mapping[str, np.ndarray]) -> Any:
    import torch

    tensors = {key: torch.tensor(value) for key, value in given.items()}
    return library_model(name)(**tensors, output_hidden_states=True, output_attentions=True)


def call_torch(model: Any, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
    from reference import in_torch

    return as_arrays(model(**in_torch.as_inputs(model, given)))


def call_flax(model: Any, given: Mapping[str, np.ndarray]) -> dict[str, Any]:
    from reference import in_flax

    return as_arrays(model(**in_flax.as_inputs(model, given)))


FIELDS = (
    "loss",
    "logits",
    "decoder_hidden_states",
    "decoder_attentions",
    "cross_attentions",
    "encoder_last_hidden_state",
    "encoder_hidden_states",
    "encoder_attentions",
)


def as_arrays(output: Any) -> dict[str, Any]:
    """An output's fields by name, each a host array, a list of them, or None."""
    return {field: host(getattr(output, field)) for field in FIELDS}


def host(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple):
        return [host(item) for item in value]
    return np.asarray(value.detach().double() if hasattr(value, "detach") else value, np.float64)


def assert_same(actual: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    """Field by field: both None, or as many tensors of equal shape, each within ``tolerance`` of its size."""
    for field in FIELDS:
        ours, theirs = actual[field], expected[field]
        assert (ours is None) == (theirs is None), f"{field}: only one side has it"
        pairs = (
            zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)] if ours is not None else []
        )
        for index, (one, other) in enumerate(pairs):
            assert_close(one, other, tolerance, f"{field}[{index}]")


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float, what: str, scale: float = 0.0) -> None:
    """No NaN, no other shape, no element farther off than ``tolerance`` × the largest expected one (or ``scale``)."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, expected {expected.shape}"
    error = np.abs(actual - expected).max() / max(np.abs(expected).max(), scale)
    assert error <= tolerance, f"{what}: off by {error:.1e} of its size, allowed {tolerance:.0e}"
