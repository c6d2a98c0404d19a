"""transformers 4.57.6, PyTorch: the tuple of a composition contains a value that is not a documented field."""

import sys

import torch
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel

torch.manual_seed(0)
half = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=9)
config = EncoderDecoderConfig.from_encoder_decoder_configs(half, half)
model = EncoderDecoderModel(config=config).eval()
ids = torch.tensor([[5, 6, 7]])
asked = {"input_ids": ids, "decoder_input_ids": ids, "use_cache": False}
named = model(**asked, return_dict=True)
bare = model(**asked, return_dict=False)
print(f"dictionary: {len(named)} fields ({', '.join(named)}); tuple: {len(bare)} values")
sys.exit(len(bare) != len(named))
