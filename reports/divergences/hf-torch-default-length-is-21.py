"""transformers 4.57.6, PyTorch: without max_length, texts have 21 tokens; documented: 20 with the start token."""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

torch.manual_seed(0)
sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, forced_eos_token_id=None, **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
model.final_logits_bias[0, config.eos_token_id] = -100.0  # no text ends before the maximum
length = model.generate(torch.tensor([[5, 6, 7, 2]])).shape[1]
print(f"generated {length} tokens; model.generation_config.max_length: {model.generation_config.max_length}")
sys.exit(length != 20)
