"""transformers 4.37.2 with flax 0.8.3: encode() of a composition with a RoBERTa encoder returns NaN.

It passes position ids as token type ids; RoBERTa has one token type.
"""

import sys

import numpy as np
from transformers import EncoderDecoderConfig, FlaxEncoderDecoderModel, RobertaConfig

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
half = RobertaConfig(vocab_size=19, max_position_embeddings=20, type_vocab_size=1, **sizes)
model = FlaxEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(half, half))
source, target = np.array([[5, 6, 7, 8, 2]]), np.array([[0, 9, 4]])
whole = np.asarray(model(source, decoder_input_ids=target).encoder_last_hidden_state)
alone = np.asarray(model.encode(source).last_hidden_state)
print("finite states from __call__:", np.isfinite(whole).all(), "from encode():", np.isfinite(alone).all())
sys.exit(bool(np.isfinite(whole).all() and np.isnan(alone).any()))
