"""transformers 5.23.0: a float16 checkpoint loaded without arguments stays float16; in 4.x it becomes float32."""

import sys
import tempfile

import torch
from transformers import BartConfig, BartModel

sizes = {f"{half}_{name}": 2 for half in ("encoder", "decoder") for name in ("layers", "ffn_dim", "attention_heads")}
model = BartModel(BartConfig(vocab_size=10, d_model=4, max_position_embeddings=8, **sizes)).half()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    loaded = BartModel.from_pretrained(folder)
print("saved as float16, loaded as", loaded.dtype)
sys.exit(loaded.dtype != torch.float32)
