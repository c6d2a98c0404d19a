"""Saves one BART in every format the installed libraries write; run in a process of its own.

Usage: ``python save_checkpoints.py TARGET SOURCE…``: of each fixture SOURCE, TARGET gets a directory with one below it
for each format.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

_GENERATION = ("early_stopping", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beams")


def build(source: Path) -> transformers.BartForConditionalGeneration:
    """The fixture in PyTorch, its tables tied by hand: what ``from_pretrained`` makes of an untied one is not asked."""
    settings = json.loads((source / "config.json").read_text())
    # transformers 4.57.6 moves generation settings out of the config, and then cannot save the model a second time.
    settings = {key: value for key, value in settings.items() if key not in _GENERATION}
    model = transformers.BartForConditionalGeneration(transformers.BartConfig(**settings))
    model.load_state_dict(load_file(source / "model.safetensors"), strict=False)
    model.model.set_input_embeddings(model.model.shared)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.shared.weight
    return model


def save_torch(model: transformers.BartForConditionalGeneration, target: Path) -> None:
    model.save_pretrained(target / "safetensors")
    model.save_pretrained(target / "safetensors-shards", max_shard_size="40KB")
    model.save_pretrained(target / "bin", safe_serialization=False)
    model.save_pretrained(target / "bin-shards", safe_serialization=False, max_shard_size="40KB")
    model.model.save_pretrained(target / "bare-safetensors")
    model.model.save_pretrained(target / "bare-bin", safe_serialization=False)
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        state = {key: tensor.to(dtype) for key, tensor in model.state_dict().items()}
        for place in (f"{name}-bin", f"{name}-safetensors"):
            model.config.save_pretrained(target / place)
        torch.save(state, target / f"{name}-bin" / "pytorch_model.bin")
        distinct = {key: tensor for key, tensor in state.items() if "embed_tokens" not in key}
        save_file(distinct, target / f"{name}-safetensors" / "model.safetensors", metadata={"format": "pt"})


def save_oddly(model: transformers.BartForConditionalGeneration, target: Path) -> None:
    """What ``torch.save`` may write but ``save_pretrained`` does not."""
    state = model.state_dict()
    strided = {key: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for key, tensor in state.items()}
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    sizes = [tensor.numel() for tensor in state.values()]
    views = [part.view(tensor.shape) for part, tensor in zip(flat.split(sizes), state.values(), strict=True)]
    kinds = {
        "legacy": (OrderedDict(state), {"_use_new_zipfile_serialization": False}),
        "parameters": ({key: torch.nn.Parameter(tensor) for key, tensor in state.items()}, {}),
        "strided": (strided, {}),
        "one-storage": (dict(zip(state, views, strict=True)), {}),
        "one-storage-legacy": (dict(zip(state, views, strict=True)), {"_use_new_zipfile_serialization": False}),
    }
    for name, (content, options) in kinds.items():
        model.config.save_pretrained(target / name)
        torch.save(content, target / name / "pytorch_model.bin", **options)


def save_others(target: Path) -> None:
    """TF and Flax, where this library still has them."""
    if not hasattr(transformers, "TFBartForConditionalGeneration"):
        return
    tf = transformers.TFBartForConditionalGeneration.from_pretrained(target / "safetensors", from_pt=True)
    tf.save_pretrained(target / "h5")
    tf.save_pretrained(target / "h5-shards", max_shard_size="40KB")
    tf.save_pretrained(target / "tf-safetensors", safe_serialization=True)
    flax = transformers.FlaxBartForConditionalGeneration.from_pretrained(target / "safetensors", from_pt=True)
    flax.save_pretrained(target / "msgpack")
    flax.save_pretrained(target / "msgpack-shards", max_shard_size="40KB")


def main() -> None:
    target, *sources = map(Path, sys.argv[1:])
    for source in sources:
        model = build(source)
        save_torch(model, target / source.name)
        save_oddly(model, target / source.name)
        save_others(target / source.name)


if __name__ == "__main__":
    main()
