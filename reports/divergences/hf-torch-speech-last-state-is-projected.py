"""transformers 4.57.6, PyTorch: encoder_last_hidden_state of a speech composition is projected to decoder width."""

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
given = {"input_values": torch.randn(1, 60), "decoder_input_ids": torch.tensor([[5, 6]])}
output = model(**given, output_hidden_states=True)
last, states = output.encoder_last_hidden_state, output.encoder_hidden_states
print(f"encoder_last_hidden_state {list(last.shape)}, encoder_hidden_states[-1] {list(states[-1].shape)}")
sys.exit(last.shape != states[-1].shape)
