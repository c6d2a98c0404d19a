"""Checkpoints with random weights in the formats that the published repository offers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIBRARY = {"h5": "TF", "msgpack": "Flax"}
"""Formats that a class of another framework writes, and how that class is called."""


def write_checkpoint(name: str, row: Mapping[str, Any], configs: Mapping[str, Any], folder: Path) -> None:
    """Writes ``config.json`` and the weights of one row of ``stand_ins.toml`` into an existing folder.

    The weights are PyTorch's, drawn with a seed made of the name; the files of other frameworks are made of them by
    the library itself.

    Raises:
        ImportError: a format needs a framework that is not there.
    """
    import torch
    import transformers

    config = config_of(row, configs)
    _write_json(folder / "config.json", {"architectures": [row.get("architecture", row["class"])], **config})
    if "generation" in row:
        _write_json(folder / "generation_config.json", row["generation"])
    torch.manual_seed(zlib.crc32(name.encode()))
    model_class = getattr(transformers, row["class"])
    model = model_class(model_class.config_class.from_pretrained(folder)).eval()
    tensors = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    write_torch(model, tensors, row["weights"], folder)
    for form, prefix in LIBRARY.items():
        if form in row["weights"]:
            _convert(getattr(transformers, prefix + row["class"]), model, folder)


def config_of(row: Mapping[str, Any], configs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.json`` says: the row's config, and what it sets besides."""
    return {**configs[row["config"]], **row.get("set", {})}


def write_torch(model: Any, tensors: Mapping[str, Any], forms: list[str], folder: Path) -> None:
    """``model.safetensors``, in which a tied table stands once, and ``pytorch_model.bin``, in which it stands twice."""
    import torch
    from safetensors.torch import save_file

    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if "safetensors" in forms:
        once = {key: tensor for key, tensor in tensors.items() if key not in tied}
        save_file(once, folder / "model.safetensors", metadata={"format": "pt"})
    if "bin" in forms:
        torch.save(dict(tensors), folder / "pytorch_model.bin")


def _convert(other: Any, model: Any, folder: Path) -> None:
    """The same weights by another framework's class, which reads PyTorch's and writes its own."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        converted = other.from_pretrained(scratch, from_pt=True)
        converted.save_pretrained(scratch, **({"safe_serialization": False} if _is_tf(other) else {}))
        name = "tf_model.h5" if _is_tf(other) else "flax_model.msgpack"
        (Path(scratch) / name).replace(folder / name)


def _is_tf(other: Any) -> bool:
    return other.__name__.startswith("TF")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
