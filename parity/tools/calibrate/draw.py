"""Random checkpoints: an architecture, which XLA compiles, and draws of weights and settings that share it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from reference.config import BartConfig
from reference.names import LOGITS_BIAS, expected_parameters

SPREAD = (0.02, 0.3)
"""Range of the weights' standard deviation: from BART's ``init_std`` to a value that makes attention sharp."""

LONGEST_TEXT = 24
TIED = 0.8


def architecture(rng: np.random.Generator, *, equal_heads: bool = False) -> dict[str, Any]:
    """The ``config.json`` of a small valid BART: sizes, activation, tying, scale and special tokens drawn at random.

    Args:
        equal_heads: give the decoder the encoder's number of attention heads; everything else is as without.
    """
    encoder_heads, decoder_heads = (int(rng.integers(1, 6)) for _ in range(2))
    vocab = int(rng.integers(40, 400))
    pad, bos, eos = map(int, rng.choice(vocab, 3, replace=False)) if rng.random() < 0.5 else (1, 0, 2)
    return {
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "vocab_size": vocab,
        "d_model": int(np.lcm(encoder_heads, decoder_heads)) * int(rng.integers(1, 8)) * 2,
        "max_position_embeddings": int(rng.integers(LONGEST_TEXT, 64)),
        "encoder_layers": int(rng.integers(1, 5)),
        "decoder_layers": int(rng.integers(1, 5)),
        "encoder_attention_heads": encoder_heads,
        "decoder_attention_heads": encoder_heads if equal_heads else decoder_heads,
        "encoder_ffn_dim": int(rng.integers(8, 96)),
        "decoder_ffn_dim": int(rng.integers(8, 96)),
        "activation_function": str(rng.choice(["gelu", "gelu_new", "relu", "silu"])),
        "scale_embedding": bool(rng.integers(2)),
        "tie_word_embeddings": bool(rng.random() < TIED),
        "pad_token_id": pad,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "decoder_start_token_id": int(rng.choice([eos, bos])),
        "forced_eos_token_id": None,
    }


def generation(rng: np.random.Generator, config: dict[str, Any]) -> dict[str, Any]:
    """A ``generation_config.json``; settings that determine shapes follow from the architecture, the others are
    drawn."""
    longest = 8 + config["vocab_size"] % (LONGEST_TEXT - 8)
    tokens = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    return {
        **{name: config[name] for name in tokens},
        "max_length": longest,
        "num_beams": 1 + config["d_model"] % 4,
        "min_length": int(rng.integers(0, longest // 2)),
        "length_penalty": float(rng.choice([0.5, 1.0, 2.0])),
        "no_repeat_ngram_size": int(rng.choice([0, 0, 2, 3])),
        "early_stopping": bool(rng.integers(2)),
        "forced_bos_token_id": [None, config["bos_token_id"]][rng.integers(2)],
        "forced_eos_token_id": [None, config["eos_token_id"]][rng.integers(2)],
    }


def deviation(rng: np.random.Generator) -> float:
    """The standard deviation of a checkpoint's weights: the first number of its generator."""
    return float(np.exp(rng.uniform(*np.log(SPREAD))))


def write_checkpoint(directory: Path, rng: np.random.Generator, config: dict[str, Any]) -> None:
    """Writes one draw of an architecture to ``directory``: config, generation settings, weights.

    The end token's logit is raised by one to three standard deviations of a logit, so that generated texts end.
    """
    directory.mkdir(parents=True)
    spread = deviation(rng)
    weights = {}
    for name, parameter in expected_parameters(BartConfig.from_dict(config)).items():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        weights[name] = (centre + rng.normal(0.0, spread, parameter.shape)).astype(np.float32)
    weights[LOGITS_BIAS][0, config["eos_token_id"]] += rng.uniform(1.0, 3.0) * spread * np.sqrt(config["d_model"])
    for name, content in (("config.json", config), ("generation_config.json", generation(rng, config))):
        (directory / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def rows(config: Mapping[str, Any]) -> list[dict[str, list[int]]] | None:
    """The input rows for an architecture's checkpoints: for every other architecture the standard batch (None).

    The others get two to four rows, of any length up to the number of positions.
    """
    if config["encoder_ffn_dim"] % 2:
        return None
    rng = np.random.default_rng([config["vocab_size"], config["d_model"]])
    special = {value for name, value in config.items() if name.endswith("token_id")}
    words = [token for token in range(config["vocab_size"]) if token not in special]
    longest = config["max_position_embeddings"]

    def text(shortest: int) -> list[int]:
        return rng.choice(words, int(rng.integers(shortest, longest))).tolist()

    return [
        {"input_ids": [*text(3), config["eos_token_id"]], "labels": text(3)} for _ in range(int(rng.integers(2, 5)))
    ]
