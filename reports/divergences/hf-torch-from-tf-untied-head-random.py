"""transformers 4.37.2, PyTorch: from_tf=True randomly initialises the head if embeddings are not tied."""

import sys
import tempfile

import torch
from transformers import BartConfig, BartForConditionalGeneration, TFBartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, tie_word_embeddings=False, **sizes)
model = TFBartForConditionalGeneration(config)
model.build_in_name_scope()
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    first, second = (BartForConditionalGeneration.from_pretrained(folder, from_tf=True) for _ in range(2))
print("lm_head is equal in two loads:", torch.equal(first.lm_head.weight, second.lm_head.weight))
sys.exit(not torch.equal(first.lm_head.weight, second.lm_head.weight))
