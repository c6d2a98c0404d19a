"""transformers 4.57.6, Flax: the tuple of a speech composition has more values than its documented output."""

import sys

import numpy as np
from transformers import BertConfig, FlaxSpeechEncoderDecoderModel, SpeechEncoderDecoderConfig, Wav2Vec2Config

convolutions = {"conv_dim": [6, 6], "conv_kernel": [10, 8], "conv_stride": [10, 8], "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": True}
sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
ears = Wav2Vec2Config(hidden_size=16, feat_extract_norm="layer", **sizes, **convolutions, **positions)
words = BertConfig(vocab_size=30, hidden_size=8, **sizes)
config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(ears, words)
given = {"inputs": np.zeros((1, 480), np.float32), "decoder_input_ids": np.array([[5, 6]])}
model = FlaxSpeechEncoderDecoderModel(config)
named, bare = model(**given, return_dict=True), model(**given, return_dict=False)
print(f"dictionary: {len(named)} fields ({', '.join(named)}); tuple: {len(bare)} values")
sys.exit(len(named) != len(bare))
