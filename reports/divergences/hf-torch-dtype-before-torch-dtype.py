"""transformers 5.23.0: if config.json has both `dtype` and `torch_dtype`, as 4.37.2 saves it, `dtype` is used."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from transformers import BartConfig, BartModel

sizes = {f"{half}_{name}": 2 for half in ("encoder", "decoder") for name in ("layers", "ffn_dim", "attention_heads")}
model = BartModel(BartConfig(vocab_size=10, d_model=4, max_position_embeddings=8, **sizes))
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    path = Path(folder, "config.json")
    # 4.37.2 rewrites torch_dtype and leaves the dtype of a newer release as it is.
    saved = json.loads(path.read_text()) | {"dtype": "bfloat16", "torch_dtype": "float32"}
    path.write_text(json.dumps(saved))
    loaded = BartModel.from_pretrained(folder)
print("saved as float32, loaded as", loaded.dtype)
sys.exit(loaded.dtype != torch.float32)
