"""keras-hub's BART (0.32.0) with the weights of a checkpoint, on Keras 3's PyTorch backend.

``BartBackbone`` and ``BartSeq2SeqLM`` are written by others, in Keras 3 layers, and are also an independent test of the
references (``tests/keras_hub``). The weights are set in memory: there are no converted files.

keras-hub's own: the rows of the position tables (the first row in use is row 2), the norms, their places and epsilon,
the order of sublayers and residual sums, the scale of the scores, the heads, the exact gelu, the causal mask, both
padding masks, the states that the cross-attention reads, and the tied output head.

Added here: the factor of ``scale_embedding`` (between keras-hub's own table and the sum with the positions), and
``final_logits_bias``. Not expressible: activations other than ``gelu``, and an output head of its own.

A ``BartBackbone`` has one number of layers, heads and inner units for both halves. Where a checkpoint has two, the
encoder of one backbone and the decoder of another are run one after the other; where it has one and scales nothing, the
logits are those of an unchanged ``BartSeq2SeqLM``.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from parity.backends.engines.conversion import UnusableFiles
from parity.backends.limits.keras_hub import REASONS
from parity.backends.protocol import Field, LoadReport
from parity.backends.torch_util import SETS_BEFORE_USE, on_host, set_deterministic
from parity.core.subject import Variant
from reference.config import BartConfig
from reference.names import LOGITS_BIAS, POSITION_OFFSET
from reference.weights import read_weights

LINEAR = {"weight": "kernel", "bias": "bias"}
NORM = {"weight": "gamma", "bias": "beta"}
TABLE = {"weight": "embeddings"}
PLACES = (
    ("model.shared", "token_embedding", TABLE),
    ("model.{half}.embed_positions", "{half}_position_embedding", TABLE),
    ("model.{half}.layernorm_embedding", "{half}_embeddings_layer_norm", NORM),
    ("{ours}.{own}.q_proj", "{theirs}/{their_own}/query", LINEAR),
    ("{ours}.{own}.k_proj", "{theirs}/{their_own}/key", LINEAR),
    ("{ours}.{own}.v_proj", "{theirs}/{their_own}/value", LINEAR),
    ("{ours}.{own}.out_proj", "{theirs}/{their_own}/attention_output", LINEAR),
    ("{ours}.{own}_layer_norm", "{theirs}/{their_norm}_layer_norm", NORM),
    ("{ours}.fc1", "{theirs}/feedforward_intermediate_dense", LINEAR),
    ("{ours}.fc2", "{theirs}/feedforward_output_dense", LINEAR),
    ("{ours}.final_layer_norm", "{theirs}/feedforward_layer_norm", NORM),
)
"""Canonical module, the Keras scope that holds it, and the names of its parameters there."""

ATTENTIONS = {
    "encoder": (("self_attn", "self_attention_layer", "self_attention"),),
    "decoder": (
        ("self_attn", "self_attention", "self_attention"),
        ("encoder_attn", "cross_attention", "cross_attention"),
    ),
}
"""An attention's canonical name, its Keras scope, and how the scope of its norm begins."""


def keras_paths(config: BartConfig) -> dict[str, str]:
    """The Keras variable of every canonical parameter but ``final_logits_bias``, which keras-hub does not have."""
    found = {}
    for half, attentions in ATTENTIONS.items():
        for layer in range(getattr(config, f"{half}_layers")):
            for own, their_own, their_norm in attentions:
                words = {
                    "half": half,
                    "ours": f"model.{half}.layers.{layer}",
                    "theirs": f"transformer_{half}_layer_{layer}",
                    "own": own,
                    "their_own": their_own,
                    "their_norm": their_norm,
                }
                for ours, theirs, leaves in PLACES:
                    for leaf, their_leaf in leaves.items():
                        found[f"{ours}.{leaf}".format(**words)] = f"{theirs}/{their_leaf}".format(**words)
    return found


def carried(path: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A canonical array as its Keras variable holds it.

    A kernel is ``[in, out]``, with a projection's heads on an axis of their own; positions begin at row 0.

    Raises:
        ValueError: it would not fit.
    """
    if path.endswith("position_embedding/embeddings"):
        array = array[POSITION_OFFSET:]
    if path.endswith("/kernel"):
        array = array.T
    if array.shape != shape and "attention" not in path:
        raise ValueError(f"{path} has shape {list(shape)}, what would go there {list(array.shape)}")
    return array.reshape(shape)


def assign(variables: Mapping[str, Any], weights: Mapping[str, np.ndarray], paths: Mapping[str, str]) -> None:
    """Sets every variable to its parameter.

    Args:
        variables: Keras variables by path.
        weights: by canonical name.
        paths: as ``keras_paths`` gives them.

    Raises:
        ValueError: a parameter has no variable, a variable gets no parameter, or one does not fit the other.
    """
    homeless = sorted(name for name in weights if paths.get(name) not in variables)
    empty = sorted(set(variables) - {paths.get(name) for name in weights})
    if homeless or empty:
        raise ValueError(f"no variable for {homeless}; nothing for {empty}")
    for name, array in weights.items():
        variable = variables[paths[name]]
        variable.assign(carried(paths[name], array, tuple(variable.shape)))


def inexpressible(config: BartConfig) -> list[str]:
    """The fields of a config that a ``BartBackbone`` does not support and that are not added here."""
    found = [] if config.activation_function == "gelu" else [f"activation_function {config.activation_function}"]
    return found if config.tie_word_embeddings else [*found, "tie_word_embeddings false"]


class KerasHub:
    """Loads a checkpoint into keras-hub's BART, on Keras 3's PyTorch backend."""

    class_name = "keras_hub.models.BartBackbone"
    sets_before_use = SETS_BEFORE_USE

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        os.environ["KERAS_BACKEND"] = "torch"
        # keras-hub uses TensorFlow for its tokenizers only, and works without it: two seconds less.
        sys.modules["tensorflow"] = cast(Any, None)
        set_deterministic(threads)

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> KerasHubModel:
        """
        Raises:
            UnusableFiles: a field of the config has no counterpart in keras-hub's model.
            ValueError: a weight has none.
        """
        config = BartConfig.read(checkpoint)
        if unsaid := inexpressible(config):
            raise UnusableFiles(f"{checkpoint}: BartBackbone cannot express {', '.join(unsaid)}")
        return KerasHubModel(config, read_weights(checkpoint, config), dtype)


class KerasHubModel:
    """One checkpoint in keras-hub's layers, run through the graphs that its own backbones built."""

    class_name = KerasHub.class_name

    def __init__(self, config: BartConfig, weights: Mapping[str, np.ndarray], dtype: str) -> None:
        import keras_hub

        self.report = LoadReport(training=False)
        self._paths, self._scale = keras_paths(config), math.sqrt(config.d_model) if config.scale_embedding else None
        sizes = {half: _sizes(config, half, dtype) for half in ("encoder", "decoder")}
        one = sizes["encoder"] == sizes["decoder"]
        backbone: Any = keras_hub.models.BartBackbone(**sizes["decoder"])
        other: Any = backbone if one else keras_hub.models.BartBackbone(**sizes["encoder"])
        self._table = backbone.token_embedding
        self._encoder, self._decoder = _encoder_of(other), _decoder_of(backbone)
        self._whole: Any = keras_hub.models.BartSeq2SeqLM(backbone) if one and not config.scale_embedding else None
        self.put(weights)

    def put(self, weights: Mapping[str, np.ndarray]) -> None:
        """Sets every weight.

        Raises:
            ValueError: a parameter has no variable, or a variable gets none.
        """
        parts = (self._whole,) if self._whole else (self._table, self._encoder, self._decoder)
        given = {name: array for name, array in weights.items() if name != LOGITS_BIAS}
        assign({variable.path: variable for part in parts for variable in part.weights}, given, self._paths)
        self._logits_bias = weights[LOGITS_BIAS]

    def parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        raise NotImplementedError(REASONS["load"])

    def call(self, inputs: Mapping[str, np.ndarray], *, as_tuple: bool = False) -> Mapping[str, Field]:
        """Logits and the hidden states of all layers.

        Raises:
            NotImplementedError: ``as_tuple``.
        """
        if as_tuple:
            raise NotImplementedError(REASONS["tuple"])
        return self._run(inputs, self._whole)

    def encode_then_decode(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Field]:
        return self._run(inputs, None)

    def _run(self, inputs: Mapping[str, np.ndarray], whole: Any) -> Mapping[str, Field]:
        import torch

        names = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")
        given = {"attention_mask": np.ones_like(inputs["input_ids"])}
        given |= {"decoder_attention_mask": np.ones_like(inputs["decoder_input_ids"]), **inputs}
        source, source_mask, target, target_mask = (torch.tensor(given[name]) for name in names)
        with torch.no_grad():
            encoder = self._encoder([self._embedded(source), source_mask], training=False)
            decoder = self._decoder([self._embedded(target), encoder[-1], target_mask, source_mask], training=False)
            logits = self._table(decoder[-1], reverse=True)
            if whole is not None:
                called = {
                    "encoder_token_ids": source,
                    "encoder_padding_mask": source_mask,
                    "decoder_token_ids": target,
                    "decoder_padding_mask": target_mask,
                }
                logits = whole(called, training=False)
            logits = logits + torch.from_numpy(self._logits_bias)
        return {
            "logits": logits,
            "decoder_hidden_states": tuple(decoder),
            "encoder_last_hidden_state": encoder[-1],
            "encoder_hidden_states": tuple(encoder),
        }

    def _embedded(self, tokens: Any) -> Any:
        rows = self._table(tokens)
        return rows if self._scale is None else rows * self._scale

    def to_numpy(self, value: Any) -> tuple[np.ndarray, str]:
        return on_host(value)


def _sizes(config: BartConfig, half: str, dtype: str) -> dict[str, Any]:
    """The arguments of a ``BartBackbone`` that has this half."""
    return {
        "vocabulary_size": config.vocab_size,
        "num_layers": getattr(config, f"{half}_layers"),
        "num_heads": getattr(config, f"{half}_attention_heads"),
        "hidden_dim": config.d_model,
        "intermediate_dim": getattr(config, f"{half}_ffn_dim"),
        "max_sequence_length": config.max_position_embeddings,
        "dtype": dtype,
    }


def _encoder_of(backbone: Any) -> Any:
    """From embedded tokens and their mask to the normed embeddings and every layer's output."""
    import keras

    start = [backbone.encoder_position_embedding.input, backbone.input["encoder_padding_mask"]]
    layers = [backbone.encoder_embeddings_dropout, *backbone.encoder_transformer_layers]
    return keras.Model(start, [layer.output for layer in layers])


def _decoder_of(backbone: Any) -> Any:
    """The same of the decoder, from embedded tokens, the encoder's last states, and both masks."""
    import keras

    states = [backbone.decoder_position_embedding.input, backbone.encoder_transformer_layers[-1].output]
    masks = [backbone.input["decoder_padding_mask"], backbone.input["encoder_padding_mask"]]
    layers = [backbone.decoder_embeddings_dropout, *backbone.decoder_transformer_layers]
    return keras.Model([*states, *masks], [layer.output for layer in layers])
