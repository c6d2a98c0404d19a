"""What every side is asked: the same random weights, the same sources, 64 tokens from each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from reference.config import CONFIG_FILE, BartConfig
from reference.names import expected_parameters

BATCH = 4
BEAMS = {"greedy": 1, "4 beams": 4}
START, PAD, BOS, END = 2, 1, 0, 2
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Size:
    """A BART and what it is asked to do with a source."""

    vocab: int
    d_model: int
    layers: int
    heads: int
    ffn: int
    source: int = 128
    tokens: int = 64

    @property
    def longest(self) -> int:
        """``max_length`` and ``min_length``: the start token counts."""
        return self.tokens + 1

    def config(self) -> dict:
        """As ``config.json``; nothing is forced and nothing but ``min_length`` forbidden."""
        stack = {"layers": self.layers, "attention_heads": self.heads, "ffn_dim": self.ffn}
        return {
            "model_type": "bart", "architectures": ["BartForConditionalGeneration"], "is_encoder_decoder": True,
            "vocab_size": self.vocab, "d_model": self.d_model, "max_position_embeddings": 1024,
            **{f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in stack.items()},
            "activation_function": "gelu", "scale_embedding": False, "tie_word_embeddings": True,
            "pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": END, "decoder_start_token_id": START,
            "forced_bos_token_id": None, "forced_eos_token_id": None,
        }  # fmt: skip


SIZES = {
    "quick": Size(vocab=211, d_model=24, layers=2, heads=3, ffn=40, source=9, tokens=6),
    "base": Size(vocab=50265, d_model=768, layers=6, heads=12, ffn=3072),
    "large": Size(vocab=50265, d_model=1024, layers=12, heads=16, ffn=4096),
}
"""bart-base's and bart-large's sizes, and one for the test of the bench itself."""


def write_checkpoint(directory: Path, size: Size) -> None:
    """A random checkpoint, scales of normalisations near 1 and all else normal with deviation 0.03; float32."""
    rng = np.random.default_rng(0)
    weights = {}
    for name, parameter in expected_parameters(BartConfig.from_dict(size.config())).items():
        one = "norm" in name and name.endswith("weight")
        weights[name] = 0.03 * rng.standard_normal(parameter.shape, np.float32) + np.float32(one)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    (directory / CONFIG_FILE).write_text(json.dumps(size.config()), encoding="utf-8")


def sources(size: Size) -> dict[str, np.ndarray]:
    """``input_ids`` and ``attention_mask``, int64 [4, source]; the second source is a fifth shorter."""
    ids = np.random.default_rng(1).integers(4, size.vocab, (BATCH, size.source))
    mask = np.ones_like(ids)
    mask[1, size.source - size.source // 5 :] = 0
    return {"input_ids": np.where(mask == 1, ids, PAD), "attention_mask": mask}


def described(size: Size) -> dict:
    """For the record."""
    return {**asdict(size), "batch": BATCH, "weights": "random, the same for every side"}
