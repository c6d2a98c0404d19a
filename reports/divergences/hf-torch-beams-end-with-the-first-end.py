"""transformers 4.37.2, PyTorch: with several end tokens every text of beam search ends with the first of the list.

Every step has the same logits, and token 5 is the likeliest, so that greedy and beam search end with it.
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
source, settings = torch.tensor([[6, 7, 2]]), {"max_length": 8, "eos_token_id": [7, 5]}
greedy, beams = (model.generate(source, num_beams=count, **settings)[0].tolist() for count in (1, 2))
print("greedy:", greedy, "\nbeams: ", beams)
sys.exit(greedy != beams)
