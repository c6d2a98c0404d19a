"""transformers 4.57.6, PyTorch: tuple and dictionary of a speech composition differ in encoder_last_hidden_state."""

import sys

import torch
from transformers import BertConfig, SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel, Wav2Vec2Config

torch.manual_seed(0)
convolutions = {"conv_dim": [6, 6], "conv_kernel": [4, 3], "conv_stride": [2, 2], "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 2}
sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
ears = Wav2Vec2Config(hidden_size=16, **sizes, **convolutions, **positions)
words = BertConfig(vocab_size=30, hidden_size=8, **sizes)
config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(ears, words)
model = SpeechEncoderDecoderModel(config=config).eval()
given = {"input_values": torch.randn(1, 60), "decoder_input_ids": torch.tensor([[5, 6]]), "use_cache": False}
by_name = model(**given).encoder_last_hidden_state
by_place = model(**given, return_dict=False)[1]
print(f"encoder_last_hidden_state: {list(by_name.shape)} in the dictionary, {list(by_place.shape)} in the tuple")
sys.exit(by_name.shape != by_place.shape)
