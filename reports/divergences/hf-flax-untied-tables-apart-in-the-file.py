"""transformers, Flax: of three token embeddings saved by PyTorch, from_pt=True loads one, without a warning."""

import sys
import tempfile

import numpy as np
import torch
from transformers import BartConfig, BartForConditionalGeneration, FlaxBartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, tie_word_embeddings=False, **sizes)
tables = [f"model.{name}.weight" for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")]
with tempfile.TemporaryDirectory() as folder:
    BartForConditionalGeneration(config).save_pretrained(folder, safe_serialization=False)
    stored = torch.load(f"{folder}/pytorch_model.bin") | {name: torch.randn(30, 8) for name in tables}
    torch.save(stored, f"{folder}/pytorch_model.bin")
    loaded = FlaxBartForConditionalGeneration.from_pretrained(folder, from_pt=True)
held = np.asarray(loaded.params["model"]["shared"]["embedding"])
others = [name for name in loaded.params["model"]["encoder"] if name == "embed_tokens"]
kept = [name for name in tables if np.array_equal(held, stored[name].numpy())]
print("token embeddings in the model:", 1 + len(others), "equal to one of the file's three:", kept)
sys.exit(len(kept) + len(others) < 3)
