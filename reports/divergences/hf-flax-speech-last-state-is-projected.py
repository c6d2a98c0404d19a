"""transformers 4.57.6, Flax: encoder_last_hidden_state of a speech composition is projected to the decoder's width."""

import sys

import numpy as np
from transformers import BertConfig, FlaxSpeechEncoderDecoderModel, SpeechEncoderDecoderConfig, Wav2Vec2Config

convolutions = {"conv_dim": [6, 6], "conv_kernel": [10, 8], "conv_stride": [10, 8], "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": True}
sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
ears = Wav2Vec2Config(hidden_size=16, feat_extract_norm="layer", **sizes, **convolutions, **positions)
words = BertConfig(vocab_size=30, hidden_size=8, **sizes)
config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(ears, words)
audio = np.random.default_rng(0).normal(size=(1, 480)).astype(np.float32)
output = FlaxSpeechEncoderDecoderModel(config)(audio, decoder_input_ids=np.array([[5, 6]]), output_hidden_states=True)
last, states = output.encoder_last_hidden_state, output.encoder_hidden_states
print(f"encoder_last_hidden_state {list(last.shape)}, encoder_hidden_states[-1] {list(states[-1].shape)}")
sys.exit(last.shape != states[-1].shape)
