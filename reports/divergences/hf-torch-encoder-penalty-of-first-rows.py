"""transformers 4.37.2 and 4.57.6, PyTorch: in beam search encoder_repetition_penalty is that of another source.

A text is generated alone and beside another source, without padding, so that the two must be equal.
"""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

torch.manual_seed(2)
sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=40, max_position_embeddings=20, forced_eos_token_id=None, init_std=1.0, **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
settings = {"num_beams": 3, "max_length": 9, "encoder_repetition_penalty": 3.0}
source, other = [5, 6, 7, 8, 2], [25, 26, 27, 28, 2]
alone = model.generate(torch.tensor([source]), **settings)[0].tolist()
beside = model.generate(torch.tensor([other, source]), **settings)[1].tolist()
print("alone: ", alone, "\nbeside:", beside)
sys.exit(alone != beside[: len(alone)])
