"""transformers 4.57.6, PyTorch: with labels BART returns no past_key_values, although config.use_cache is true."""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, use_cache=True, **sizes)
model, ids = BartForConditionalGeneration(config).eval(), torch.tensor([[0, 5, 6, 2]])
without, with_labels = model(input_ids=ids), model(input_ids=ids, labels=ids)
print("fields:", list(without), "fields with labels:", list(with_labels))
sys.exit("past_key_values" in without and "past_key_values" not in with_labels)
