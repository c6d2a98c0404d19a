"""transformers 4.57.6, TF: with labels a classifier omits past_key_values, although config.use_cache is true."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BartConfig, TFBartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, num_labels=4, **sizes, **heads)
model, text = TFBartForSequenceClassification(config), tf.constant([[0, 7, 8, 2]])
without, given = model(text), model(text, labels=tf.constant([3]))
print(f"without labels: {', '.join(without.keys())}")
print(f"with labels:    {', '.join(given.keys())}")
sys.exit("past_key_values" in without and "past_key_values" not in given)
