"""transformers 4.37.2: assisted decoding of a composition with GPT-2 raises IndexError."""

import sys

import torch
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, GPT2Config

torch.manual_seed(0)
sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 8}
encoder = BertConfig(vocab_size=50, **sizes)
decoder = GPT2Config(vocab_size=50, n_embd=12, n_layer=1, n_head=3, n_positions=30, add_cross_attention=True)
config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 1, None
model = EncoderDecoderModel(config).eval()
inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
print("plain", model.generate(**inputs, max_length=9)[0].tolist())
try:
    print("assisted", model.generate(**inputs, max_length=9, assistant_model=model)[0].tolist())
except IndexError as error:
    print("assisted", type(error).__name__, error)
    sys.exit(1)
