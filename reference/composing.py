"""Builds a composition from two checkpoints, and saves it to a directory.

Source: encoder-decoder page, ``from_encoder_decoder_pretrained``; Rothe et al. 2020, arXiv:1907.12461, section 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reference.config import CONFIG_FILE, EncoderDecoderConfig, read_json
from reference.config.classes import CLASSES
from reference.config.composed import ENCODERS
from reference.errors import CheckpointError
from reference.names import Parameter, Table, table_of
from reference.weights import read_weights

INITIALIZER_RANGE = 0.02
"""Standard deviation of new parameters if the decoder's config has no ``initializer_range``."""


def joined(
    encoder: Path | str, decoder: Path | str, seed: int = 0, **overrides: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The content of ``config.json`` and the canonical weights of a composition of an encoder and a decoder.

    The decoder becomes causal and gets cross-attention. Missing parameters are randomly initialised: weights normal,
    biases 0, normalisations 1. There is no default for the decoder start token: labels cannot be shifted until the
    config defines one.

    Args:
        encoder, decoder: directories of checkpoints.
        seed: of the random initialisation.
        overrides: ``encoder_NAME`` and ``decoder_NAME`` replace fields of the halves' configs, others are the
            composition's own.

    Raises:
        CheckpointError: a half cannot be read, its architecture is not supported as that half, or a parameter of the
            encoder is missing.
    """
    halves = {"encoder": dict(read_json(encoder, CONFIG_FILE)), "decoder": dict(read_json(decoder, CONFIG_FILE))}
    halves["decoder"] |= {"is_decoder": True, "add_cross_attention": True}
    own: dict[str, Any] = {}
    for name, value in overrides.items():
        which, _, field = name.partition("_")
        # decoder_start_token_id is a field of the composition itself, as in the library.
        inside = which in halves and name != "decoder_start_token_id"
        (halves[which] if inside else own)[field if inside else name] = value
    speech = halves["encoder"].get("model_type") in ENCODERS["speech-encoder-decoder"]
    data = {"model_type": "speech-encoder-decoder" if speech else "encoder-decoder", **own, **halves}
    config = EncoderDecoderConfig.from_dict(data, f"{encoder} and {decoder}")
    table, weights = table_of(config), {}
    weights |= _half(Path(encoder), config.encoder, "encoder.", table, None)
    drawn = np.random.default_rng(seed)
    spread = float(halves["decoder"].get("initializer_range", INITIALIZER_RANGE))
    weights |= _half(Path(decoder), config.decoder, "decoder.", table, (drawn, spread))
    if config.projects:
        expected = table.expected()
        for name in ("enc_to_dec_proj.weight", "enc_to_dec_proj.bias"):
            weights[name] = _drawn(name, expected[name], drawn, spread)
    return data, weights


def _half(
    directory: Path, config: Any, prefix: str, table: Table, draw: tuple[np.random.Generator, float] | None
) -> dict[str, np.ndarray]:
    """One half's weights under the composition's names; without ``draw``, missing parameters raise an error."""
    expected = {name: parameter for name, parameter in table.expected().items() if name.startswith(prefix)}
    found = _stored(directory, config, decoding=draw is not None)
    weights = {}
    for name, parameter in expected.items():
        array = found.get(name.removeprefix(prefix))
        if array is None:
            if draw is None:
                raise CheckpointError(directory, f"parameter {name.removeprefix(prefix)} is missing")
            array = _drawn(name, parameter, *draw)
        weights[name] = array
    return weights


def _stored(directory: Path, config: Any, decoding: bool) -> Mapping[str, np.ndarray]:
    """The weights in a directory, under the names of the bare model or of the decoder with its head."""
    known = CLASSES[config.model_type]
    heads = [name for name in known if name.endswith(("ForCausalLM", "LMHeadModel", "GenerationDecoder"))]
    return read_weights(directory, config, model_class=heads[0] if decoding else known[0])


def _drawn(name: str, parameter: Parameter, rng: np.random.Generator, spread: float) -> np.ndarray:
    """The initial value of a new parameter."""
    if name.endswith("bias"):
        return np.zeros(parameter.shape, np.float32)
    if len(parameter.shape) == 1:
        return np.ones(parameter.shape, np.float32)
    return rng.normal(0.0, spread, parameter.shape).astype(np.float32)


def save(directory: Path | str, data: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> None:
    """Writes ``config.json`` and ``model.safetensors``, which ``load`` of either reference reads back.

    Args:
        data: the content of ``config.json``.
        weights: canonical names and arrays.

    Raises:
        CheckpointError: the directory exists and is not empty.
    """
    from safetensors.numpy import save_file

    directory = Path(directory)
    if directory.exists() and any(directory.iterdir()):
        raise CheckpointError(directory, "is not empty")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG_FILE).write_text(json.dumps(dict(data), indent=2) + "\n", encoding="utf-8")
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    save_file(arrays, directory / "model.safetensors", metadata={"format": "pt"})
