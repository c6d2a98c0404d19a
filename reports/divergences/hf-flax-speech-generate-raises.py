"""transformers 4.57.6, Flax: generate of a speech composition raises if the attention mask of the audio is passed."""

import sys

import numpy as np
from transformers import BertConfig, FlaxSpeechEncoderDecoderModel, SpeechEncoderDecoderConfig, Wav2Vec2Config

convolutions = {"conv_dim": [6, 6], "conv_kernel": [10, 8], "conv_stride": [10, 8], "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "do_stable_layer_norm": True}
sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
ears = Wav2Vec2Config(hidden_size=16, feat_extract_norm="layer", **sizes, **convolutions, **positions)
words = BertConfig(vocab_size=30, hidden_size=8, **sizes)
config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(ears, words)
config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 1, 2
given = {"inputs": np.zeros((1, 480), np.float32), "attention_mask": np.ones((1, 480), np.int32)}
model = FlaxSpeechEncoderDecoderModel(config)
model(**given, decoder_input_ids=np.array([[5, 6]]))
try:
    model.generate(given["inputs"], attention_mask=given["attention_mask"], max_length=5)
except TypeError as error:
    print("__call__ accepts the mask; generate raises:", error)
    sys.exit(1)
