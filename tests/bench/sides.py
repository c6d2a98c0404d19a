"""Who is measured. A side is made from a checkpoint and then generates; frameworks are imported when one is made."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.task import END, PAD, START, Size

Generate = Callable[[dict[str, np.ndarray], int], np.ndarray]
"""From sources and a number of beams to tokens, int64 [batch, length]; it returns when they are on the host."""


def reference(framework: str, directory: Path, size: Size, device: str, dtype: str) -> Generate:
    """The reference's fast path, its weights packed."""
    from reference.generation import GenerationSettings

    package = import_module(f"reference.in_{framework}")
    fast = import_module(f"reference.in_{framework}.fast")
    model = fast.FastModel(package.load(directory, dtype=dtype, device=device))

    def generate(inputs: dict[str, np.ndarray], beams: int) -> np.ndarray:
        settings = GenerationSettings(
            max_length=size.longest, min_length=size.longest, num_beams=beams, pad_token_id=PAD, eos_token_id=END,
            decoder_start_token_id=START,
        )  # fmt: skip
        return fast.generate(model, inputs, settings).sequences

    return generate


def reference_torch(directory: Path, size: Size, device: str, dtype: str) -> Generate:
    return reference("torch", directory, size, device, dtype)


def reference_flax(directory: Path, size: Size, device: str, dtype: str) -> Generate:
    return reference("flax", directory, size, {"cuda": "gpu"}.get(device, device), dtype)


def hf_torch(directory: Path, size: Size, device: str, dtype: str) -> Generate:
    """``BartForConditionalGeneration.generate`` as it comes: SDPA, its dynamic cache."""
    import torch
    from transformers import BartForConditionalGeneration

    model = BartForConditionalGeneration.from_pretrained(directory, dtype=getattr(torch, dtype)).to(device).eval()

    def generate(inputs: dict[str, np.ndarray], beams: int) -> np.ndarray:
        given = {name: torch.as_tensor(array, device=device) for name, array in inputs.items()}
        return model.generate(**given, **asked(size, beams)).cpu().numpy()

    return generate


def hf_flax(directory: Path, size: Size, device: str, dtype: str) -> Generate:
    """``FlaxBartForConditionalGeneration.generate`` as it comes; it compiles its loop itself."""
    import jax.numpy as jnp
    from transformers import FlaxBartForConditionalGeneration

    kind = getattr(jnp, dtype)
    model = FlaxBartForConditionalGeneration.from_pretrained(directory, from_pt=True, dtype=kind)
    if dtype != "float32":
        model.params = {"bfloat16": model.to_bf16, "float16": model.to_fp16}[dtype](model.params)

    def generate(inputs: dict[str, np.ndarray], beams: int) -> np.ndarray:
        return np.asarray(model.generate(**inputs, **asked(size, beams)).sequences)

    return generate


def asked(size: Size, beams: int) -> dict[str, Any]:
    """The same request in the library's words."""
    return {
        "max_length": size.longest, "min_length": size.longest, "num_beams": beams, "do_sample": False,
        "early_stopping": False, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "pad_token_id": PAD,
        "eos_token_id": END, "decoder_start_token_id": START, "forced_eos_token_id": None, "forced_bos_token_id": None,
    }  # fmt: skip


SIDES: dict[str, Callable[[Path, Size, str, str], Generate]] = {
    "hf-torch": hf_torch, "reference-torch": reference_torch, "hf-flax": hf_flax, "reference-flax": reference_flax,
}  # fmt: skip
PAIRS = {"torch": ("hf-torch", "reference-torch"), "flax": ("hf-flax", "reference-flax")}
"""The library's side first."""
