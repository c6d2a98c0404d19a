"""transformers 4.37.2 and 4.57.6, PyTorch: with exponential_decay_length_penalty a text ends before min_length.

Every step has the same logits, and word 5 is the likeliest; min_length=6 forbids the end (2) before.
"""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, forced_eos_token_id=None, **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.zero_()
    model.final_logits_bias[0, 5] = 4.0
settings = {"num_beams": 1, "max_length": 8, "min_length": 6, "exponential_decay_length_penalty": (1, 1.5)}
text = model.generate(torch.tensor([[5, 6, 7, 2]]), **settings)[0].tolist()
print("generated with min_length=6:", text)
sys.exit(2 in text[1:6])
