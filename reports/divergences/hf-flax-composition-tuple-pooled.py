"""transformers 4.57.6, Flax: the tuple of a composition also contains the encoder's pooled states."""

import sys

import numpy as np
from transformers import BertConfig, EncoderDecoderConfig, FlaxEncoderDecoderModel

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
half = BertConfig(vocab_size=19, max_position_embeddings=20, **sizes)
model = FlaxEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(half, half))
asked = {"decoder_input_ids": np.array([[0, 9, 4]]), "output_hidden_states": True}
named = model(np.array([[5, 6, 7, 8, 2]]), **asked)
bare = model(np.array([[5, 6, 7, 8, 2]]), **asked, return_dict=False)
print(f"dictionary: {len(named)} fields ({', '.join(named)}); tuple: {len(bare)} values")
sys.exit(len(named) != len(bare))
