"""transformers 4.37.2 and 4.57.6, TensorFlow: generate raises with min_length and a list of end tokens."""

import sys

import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, forced_eos_token_id=None, **sizes, **heads)
model = TFBartForConditionalGeneration(config)
try:
    model.generate(tf.constant([[5, 6, 7, 2]]), max_length=8, min_length=3, eos_token_id=[2, 5])
except ValueError as error:
    print("raised:", error)
    sys.exit(1)
