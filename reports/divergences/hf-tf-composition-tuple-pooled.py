"""transformers 4.57.6, TF: the tuple of an encoder-decoder model also contains the encoder's pooled states."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BertConfig, EncoderDecoderConfig, GPT2Config, TFEncoderDecoderModel

encoder = BertConfig(vocab_size=50, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=8)
decoder = GPT2Config(vocab_size=50, n_embd=12, n_layer=1, n_head=3, is_decoder=True, add_cross_attention=True)
model = TFEncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
inputs = {"input_ids": tf.constant([[5, 7, 9]]), "decoder_input_ids": tf.constant([[4, 6]])}
named, bare = model(**inputs), model(**inputs, return_dict=False)
print(f"dictionary: {len(named.keys())} fields ({', '.join(named.keys())})")
print(f"tuple: {len(bare)} values; the last has shape {tuple(bare[-1].shape)}")
sys.exit(len(bare) != len(named.keys()))
