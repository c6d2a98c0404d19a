"""transformers 4.57.6, Flax: a speech composition is created with more positions than its decoder supports."""

import sys

from transformers import BertConfig, FlaxSpeechEncoderDecoderModel, SpeechEncoderDecoderConfig, Wav2Vec2Config

sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
convolutions = {"conv_dim": (8, 8), "conv_kernel": (5, 3), "conv_stride": (3, 2), "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
norms = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
encoder = Wav2Vec2Config(**sizes, **convolutions, **positions, **norms)
decoder = BertConfig(**sizes, vocab_size=50, max_position_embeddings=40)
config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
try:
    FlaxSpeechEncoderDecoderModel(config)
except ValueError as error:
    print(error)
    sys.exit(1)
