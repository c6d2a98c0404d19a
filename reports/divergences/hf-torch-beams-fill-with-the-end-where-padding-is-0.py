"""transformers 4.57.6, PyTorch: beam search fills rows with the EOS token if pad_token_id is 0."""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

torch.manual_seed(0)
sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, pad_token_id=0, bos_token_id=1, init_std=1.0, **sizes, **heads)
model = BartForConditionalGeneration(config).eval()
with torch.no_grad():
    model.final_logits_bias[0, config.eos_token_id] = 4.0  # some texts end early, others do not
texts = model.generate(torch.randint(5, 50, (16, 6)), num_beams=2, max_length=12, forced_eos_token_id=None)
rest = [row[row[1:].index(2) + 2 :] for row in texts.tolist() if 2 in row[1:]]
filled = {token for row in rest for token in row}
print(f"tokens after EOS: {filled}; pad_token_id: 0")
sys.exit(filled != {0})
