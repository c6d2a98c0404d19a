"""transformers 4.37.2 and 4.57.6, TensorFlow: a BART classifier raises if its config has a list of end tokens."""

import sys

import tensorflow as tf
from transformers import BartConfig, TFBartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, eos_token_id=[2, 5, 7], **sizes, **heads)
try:
    TFBartForSequenceClassification(config)(tf.constant([[5, 6, 2, 2]]))
except (ValueError, tf.errors.InvalidArgumentError) as error:
    print("raised:", str(error)[:200])
    sys.exit(1)
