"""transformers, PyTorch: freeze_feature_encoder of a speech composition raises if the encoder is a HuBERT."""

import sys

from transformers import BertConfig, HubertConfig, SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel

convolutions = {"conv_dim": [6, 6], "conv_kernel": [4, 3], "conv_stride": [2, 2], "num_feat_extract_layers": 2}
positions = {"num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 2}
sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9, "hidden_size": 8}
ears, words = HubertConfig(**sizes, **convolutions, **positions), BertConfig(vocab_size=30, **sizes)
model = SpeechEncoderDecoderModel(config=SpeechEncoderDecoderConfig.from_encoder_decoder_configs(ears, words))
try:
    model.freeze_feature_encoder()
except AttributeError as error:
    print(f"AttributeError: {error}")
    sys.exit(1)
print("no error")
