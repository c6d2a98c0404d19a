"""transformers 4.37.2, PyTorch: _reorder_cache reorders self-attention but not cross-attention."""

import sys

import torch
from transformers import BartConfig, BartForConditionalGeneration

torch.manual_seed(0)
sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
config = BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, init_std=0.2, **sizes)
model = BartForConditionalGeneration(config).eval()
sources, targets = torch.tensor([[0, 5, 6, 2], [0, 9, 8, 2]]), torch.tensor([[2, 7], [2, 4]])
cache = model(input_ids=sources, decoder_input_ids=targets).past_key_values
swapped = model._reorder_cache(cache, torch.tensor([1, 0]))
own, source_keys = (torch.equal(swapped[0][i], cache[0][i].flip(0)) for i in (0, 2))
print("rows exchanged in self-attention:", own, "in cross-attention:", source_keys)
sys.exit(own and not source_keys)
