"""transformers 4.57.6: BART in eager attention cannot be compiled or exported without decoder_attention_mask."""

import logging
import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, attn_implementation="eager", **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
inputs = {"input_ids": torch.tensor([[0, 5, 6, 2]]), "decoder_input_ids": torch.tensor([[2, 0, 7]])}
plain = model(**inputs).logits
logging.disable()  # torch logs the traceback of what it raises
print("without compilation", tuple(plain.shape))
try:
    print("compiled", tuple(torch.compile(model, backend="eager")(**inputs).logits.shape))
except RuntimeError as error:
    print("compiled", type(error).__name__, str(error).partition("got RuntimeError")[2][:110])
    sys.exit(1)
