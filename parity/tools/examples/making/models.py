"""Checkpoints with random weights in the formats that the published repository offers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def write_checkpoint(name: str, table: Mapping[str, Any], folder: Path) -> None:
    """Writes ``config.json``, its companions and the weights of a row of ``stand_ins.toml`` into an existing folder.

    The weights are drawn with PyTorch, by a seed derived from the name; the library itself converts them to the files
    of other frameworks. Files of a framework that is not installed are omitted.
    """
    import torch
    import transformers

    row = table["checkpoint"][name]
    config = config_of(row, table["config"])
    _write_json(folder / "config.json", {"architectures": [row.get("architecture", row["class"])], **config})
    if "preprocessor" in row:
        _write_json(folder / "preprocessor_config.json", table["preprocessor"][row["preprocessor"]])
    if "generation" in row:
        _write_json(folder / "generation_config.json", row["generation"])
    torch.manual_seed(zlib.crc32(name.encode()))
    model_class = getattr(transformers, row["class"])
    model = model_class(model_class.config_class.from_pretrained(folder)).eval()
    tensors = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    write_torch(tensors, row["weights"], folder)
    # Without its framework there is no class either that would read a format.
    if "h5" in row["weights"] and find_spec("tensorflow"):
        _to_tf(row["class"], folder)
    if "msgpack" in row["weights"] and find_spec("flax"):
        _to_flax(row["class"], folder)


def config_of(row: Mapping[str, Any], configs: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``config.json``: the row's config with its halves, and its further settings."""
    config = {**configs[row["config"]], **row.get("set", {})}
    if "halves" in row:
        encoder, decoder = (configs[half] for half in row["halves"])
        config["encoder"] = {**encoder, **row.get("encoder", {})}
        config["decoder"] = {**decoder, "is_decoder": True, "add_cross_attention": True, "is_encoder_decoder": False}
    return config


def write_torch(tensors: dict[str, Any], forms: list[str], folder: Path) -> None:
    """``model.safetensors``, which stores a tied table once, and ``pytorch_model.bin``, which stores it twice."""
    import torch
    from safetensors.torch import save_file

    if "safetensors" in forms:
        first = {tensor.data_ptr(): key for key, tensor in reversed(tensors.items())}
        once = {key: tensor for key, tensor in tensors.items() if first[tensor.data_ptr()] == key}
        save_file(once, folder / "model.safetensors", metadata={"format": "pt"})
    if "bin" in forms:
        torch.save(tensors, folder / "pytorch_model.bin")


def _to_tf(name: str, folder: Path) -> None:
    """``tf_model.h5``: the weights of ``pytorch_model.bin``, read and written by the library's TF class."""
    import transformers

    converted = getattr(transformers, f"TF{name}").from_pretrained(folder, from_pt=True)
    converted.save_weights(folder / "tf_model.h5")


def _to_flax(name: str, folder: Path) -> None:
    """``flax_model.msgpack``: the weights of ``pytorch_model.bin``, converted by the library's Flax class."""
    import transformers
    from flax.serialization import to_bytes

    converted = getattr(transformers, f"Flax{name}").from_pretrained(folder, from_pt=True)
    (folder / "flax_model.msgpack").write_bytes(to_bytes(converted.params))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
