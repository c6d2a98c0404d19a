"""transformers 4.57.6: BART in sdpa attention cannot be compiled as one graph with head masks."""

import logging
import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, attn_implementation="sdpa", **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
inputs = {"input_ids": torch.tensor([[0, 5, 6, 2]]), "decoder_input_ids": torch.tensor([[2, 0, 7]])}
inputs["head_mask"] = torch.ones(1, 3)
logging.disable()  # torch logs the traceback of what it raises
print("without compilation", tuple(model(**inputs).logits.shape))
try:
    print("compiled", tuple(torch.compile(model, backend="eager", fullgraph=True)(**inputs).logits.shape))
except RuntimeError as error:
    print("compiled", type(error).__name__, str(error).splitlines()[0])
    sys.exit(1)
