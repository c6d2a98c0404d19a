"""transformers 4.37.2, PyTorch: a bert-generation decoder attends to future tokens unless its cache is off.

The last token of the text is changed; the logits of the first token must not change.
"""

import sys

import torch
from transformers import BertGenerationConfig, BertGenerationDecoder

torch.manual_seed(0)
sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 8, "vocab_size": 30}
model = BertGenerationDecoder(BertGenerationConfig(is_decoder=True, **sizes)).eval()
one, other = torch.tensor([[5, 6, 7]]), torch.tensor([[5, 6, 8]])
with torch.no_grad():
    moved = {
        cached: (model(one, use_cache=cached).logits - model(other, use_cache=cached).logits)[0, 0].abs().max().item()
        for cached in (True, False)
    }
print("the first token's logits depend on the last token, by use_cache:", moved)
sys.exit(moved[True] > 1e-6)
