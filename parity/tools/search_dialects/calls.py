"""What the libraries are asked to generate, so that their dialects show: small random models under telling settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from reference.config import CONFIG_FILE, BartConfig
from reference.generation import Dialect, Generated, GenerationSettings, generate
from reference.generation.settings import GENERATION_FILE
from reference.names import LOGITS_BIAS, expected_parameters

BATCH = 3
INPUTS = {
    "input_ids": np.array([[3, 5, 7, 9, 2], [3, 11, 12, 2, 1], [3, 20, 2, 1, 1]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]),
}
Model = tuple[int, float, float]
"""A seed, what the end's logit is raised by, and what the last states are multiplied by."""
MODELS = tuple((seed, 3.0, sharpness) for seed in range(6) for sharpness in (1.0, 2.5))

_SIZES = {
    "vocab_size": 29,
    "max_position_embeddings": 32,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 24,
}
_TOKENS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 3}
_KIND = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "is_encoder_decoder": True,
    "scale_embedding": True,
    "forced_eos_token_id": None,
}
_BEAMS = {"early_stopping": False, "length_penalty": 1.0}


@dataclass(frozen=True)
class Case:
    """One call of ``generate``: a model, what its ``generation_config.json`` holds, and the arguments."""

    model: Model
    arguments: tuple[tuple[str, Any], ...]
    stored: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The folder of its checkpoint."""
        stored = "".join(f"-{key}-{value}" for key, value in self.stored)
        return "-".join(("model", *map(str, self.model))) + stored


def settings() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Arguments, and what is stored beside the token ids."""
    start = {"num_beams": 1, "min_length": 19}
    return [
        ({**_BEAMS, "num_beams": 3, "max_length": 10}, {}),
        ({**_BEAMS, "num_beams": 3, "max_length": 10, "length_penalty": 3.0}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 12, "length_penalty": 4.0}, {}),
        ({**_BEAMS, "num_beams": 4, "max_length": 12, "length_penalty": 2.0}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 6, "length_penalty": 0.0, "early_stopping": True}, {}),
        ({**_BEAMS, "num_beams": 4, "max_length": 6, "early_stopping": True}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 4, "length_penalty": 2.0, "early_stopping": True}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 12, "length_penalty": 2.0, "early_stopping": "never"}, {}),
        ({**_BEAMS, "num_beams": 3, "max_length": 9, "length_penalty": -1.0, "early_stopping": "never"}, {}),
        (
            {
                **_BEAMS,
                "num_beams": 3,
                "max_length": 9,
                "min_length": 4,
                "forced_bos_token_id": 0,
                "forced_eos_token_id": 2,
                "length_penalty": 2.0,
                "early_stopping": True,
            },
            {},
        ),
        ({**_BEAMS, "num_beams": 3, "max_length": 9, "forced_bos_token_id": 0, "early_stopping": True}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 9, "no_repeat_ngram_size": 2, "min_length": 6}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 7, "early_stopping": True}, {"pad_token_id": 0}),
        ({**_BEAMS, "num_beams": 3, "max_length": 9, "eos_token_id": (5, 2), "early_stopping": True}, {}),
        ({"num_beams": 1, "max_length": 9}, {}),
        ({"num_beams": 1, "max_length": 9}, {"pad_token_id": 0}),
        (
            {
                **_BEAMS,
                "num_beams": 2,
                "max_length": 7,
                "suppress_tokens": tuple(range(4, 28, 2)),
                "renormalize_logits": True,
            },
            {},
        ),
        ({"num_beams": 1, "max_length": 9, "repetition_penalty": 1.7}, {}),
        ({**_BEAMS, "num_beams": 2, "max_length": 9, "encoder_repetition_penalty": 1.7}, {}),
        ({"num_beams": 1, "max_length": 9, "min_length": 6, "encoder_no_repeat_ngram_size": 1}, {}),
        ({"num_beams": 1, "max_length": 9, "bad_words_ids": (*((token,) for token in range(4, 28, 2)), (5, 5))}, {}),
        ({"num_beams": 1, "max_length": 9, "sequence_bias": tuple(((token,), 3.0) for token in range(5, 29, 3))}, {}),
        ({"num_beams": 1, "max_length": 12, "exponential_decay_length_penalty": (2, 1.5)}, {}),
        ({"num_beams": 1, "max_length": 9, "begin_suppress_tokens": tuple(range(4, 28, 2))}, {}),
        ({"num_beams": 1, "min_new_tokens": 5, "max_new_tokens": 8}, {}),
        ({**start, "max_length": 20}, {}),
        (start, {"max_length": 20}),
        (start, {}),
    ]


def cases() -> list[Case]:
    """Every model under every setting."""
    return [
        Case(model, tuple(arguments.items()), tuple(stored.items()))
        for arguments, stored in settings()
        for model in MODELS
    ]


def write(case: Case, directory: Path) -> Path:
    """The case's checkpoint, written once; returns its folder."""
    folder = directory / case.name
    if not folder.exists():
        folder.mkdir(parents=True)
        stored = {**_TOKENS, **dict(case.stored)}
        config = {**_KIND, **_SIZES, **{name: stored[name] for name in _TOKENS}}
        (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
        (folder / GENERATION_FILE).write_text(json.dumps(stored), encoding="utf-8")
        save_file(weights(case.model), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def weights(model: Model) -> dict[str, np.ndarray]:
    """Random weights under canonical names, float32."""
    seed, end, sharpness = model
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, parameter in expected_parameters(_config()).items():
        array = rng.normal(0.0, 0.3, parameter.shape)
        drawn[name] = (array + 1 if "norm" in name and name.endswith("weight") else array).astype(np.float32)
    # The head shares the table with the embedding, so the last normalisation is where the logits grow.
    for name in ("weight", "bias"):
        drawn[f"model.decoder.layers.0.final_layer_norm.{name}"] *= np.float32(sharpness)
    drawn[LOGITS_BIAS][0, _TOKENS["eos_token_id"]] = end
    return drawn


def _config() -> BartConfig:
    return BartConfig.from_dict({**_KIND, **_SIZES, **_TOKENS})


def ours(case: Case, directory: Path, dialect: Dialect) -> Generated:
    """What the reference's search makes of the case in a dialect, on the reference's logits in float64."""
    held = GenerationSettings.read(directory / case.name, **dict(case.arguments))
    return generate(decoder(case.model), BATCH, held, dialect, sources=INPUTS["input_ids"])


@cache
def decoder(model: Model) -> Remembering:
    """The model's decoder; what it has answered once it answers at once for every dialect."""
    return Remembering(model)


@dataclass
class Remembering:
    """The reference in float64 without a cache of its own: a text's logits are computed once and kept."""

    model: Model
    known: dict[tuple[int, tuple[int, ...]], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        from reference import in_torch
        from reference.in_torch.seq2seq import Seq2Seq

        self.torch = torch
        bart = in_torch.build(_config(), weights(self.model), dtype="float64")
        if not isinstance(bart, Seq2Seq):
            raise TypeError(f"{type(bart).__name__} writes no text from a source")
        self.bart = bart
        self.mask = torch.tensor(INPUTS["attention_mask"])
        with torch.no_grad():
            self.memory = self.bart.encode(torch.tensor(INPUTS["input_ids"]), self.mask).last_hidden_state

    def start(self, rows_per_source: int) -> int:
        """Every source's rows, nothing fed."""
        self.rows_per_source = rows_per_source
        self.texts: list[tuple[int, ...]] = [()] * (BATCH * rows_per_source)
        return len(self.texts)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """The next logits of every row, float64."""
        self.texts = [(*text, int(token)) for text, token in zip(self.texts, tokens, strict=True)]
        wanted = [(row // self.rows_per_source, text) for row, text in enumerate(self.texts)]
        new = [key for key in dict.fromkeys(wanted) if key not in self.known]
        if new:
            sources, texts = ([key[index] for key in new] for index in (0, 1))
            with self.torch.no_grad():
                texts = self.torch.tensor(texts)
                answer = self.bart.decode(texts, self.memory[sources], self.mask[sources]).logits[:, -1]
            self.known.update(zip(new, answer.numpy(), strict=True))
        return np.stack([self.known[key] for key in wanted])

    def reorder(self, rows: np.ndarray) -> None:
        """Row i goes on from the text of row ``rows[i]``."""
        self.texts = [self.texts[row] for row in rows]


def jobs(directory: Path) -> Iterator[dict[str, Any]]:
    """The cases as the probe is told them; their checkpoints are written."""
    for case in cases():
        yield {"checkpoint": str(write(case, directory)), "arguments": dict(case.arguments)}
