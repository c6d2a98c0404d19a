"""transformers 4.57.6, Flax: a composition counts RoBERTa positions from 0, RoBERTa itself from pad_token_id + 1."""

import sys

import numpy as np
from transformers import EncoderDecoderConfig, FlaxEncoderDecoderModel, FlaxRobertaModel, RobertaConfig

sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
half = RobertaConfig(vocab_size=19, max_position_embeddings=20, type_vocab_size=1, initializer_range=0.5, **sizes)
model = FlaxEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(half, half))
source = np.array([[5, 6, 7, 8, 2]])
encoder = FlaxRobertaModel(half)
wanted = np.asarray(encoder(source, params=model.params["encoder"]).last_hidden_state)
target = np.array([[0, 9, 4]])
default = np.asarray(model(source, decoder_input_ids=target).encoder_last_hidden_state)
counted = {"position_ids": np.arange(5)[None] + half.pad_token_id + 1, "decoder_input_ids": target}
right = np.asarray(model(source, **counted).encoder_last_hidden_state)
print(f"error by default: {np.abs(default - wanted).max()}; with RoBERTa's positions: {np.abs(right - wanted).max()}")
sys.exit(bool(np.abs(default - wanted).max() > 1e-3 > np.abs(right - wanted).max()))
