"""transformers 4.57.6: generate() uses config.json instead of a generation_config.json with _from_model_config."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, **sizes, **heads)
with tempfile.TemporaryDirectory() as directory:
    BartForConditionalGeneration(config).save_pretrained(directory)
    path = Path(directory, "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_length": 12, "min_length": 12}))
    edited = {"max_length": 6, "decoder_start_token_id": 2, "eos_token_id": 2, "_from_model_config": True}
    Path(directory, "generation_config.json").write_text(json.dumps(edited))
    model = BartForConditionalGeneration.from_pretrained(directory).eval()
    length = model.generate(torch.tensor([[5, 6, 7, 2]])).shape[1]
print(f"generated {length} tokens; max_length in generation_config.json is 6")
sys.exit(length != 6)
