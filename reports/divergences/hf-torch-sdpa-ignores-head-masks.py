"""transformers 4.57.6, PyTorch: with sdpa attention, the default, head_mask is accepted and ignored."""

import sys

import torch
from transformers import BartConfig, BartModel

torch.manual_seed(0)
sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, **sizes)
ids, mask, moved = torch.tensor([[0, 5, 6, 2]]), torch.tensor([[0.0, 1.0]]), {}
for attention in ("eager", "sdpa"):
    config._attn_implementation = attention
    torch.manual_seed(0)
    model = BartModel(config).eval()
    plain, silenced = model(input_ids=ids), model(input_ids=ids, head_mask=mask)
    moved[attention] = (plain.last_hidden_state - silenced.last_hidden_state).abs().max().item()
print("a head mask of zero changes the states by", moved)
sys.exit(moved["eager"] > 0 and moved["sdpa"] == 0)
