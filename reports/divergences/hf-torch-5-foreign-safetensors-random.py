"""transformers 5.23.0, PyTorch: a safetensors file of format flax loads without an error, with random weights."""

import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
shared = torch.arange(600.0).reshape(50, 12)
with tempfile.TemporaryDirectory() as directory:
    config.save_pretrained(directory)
    save_file({"model.shared.embedding": shared}, f"{directory}/model.safetensors", metadata={"format": "flax"})
    loaded = BartForConditionalGeneration.from_pretrained(directory).model.shared.weight
print(f"saved {shared[2, :3]}, loaded {loaded[2, :3]}")
sys.exit(not torch.equal(shared, loaded))
