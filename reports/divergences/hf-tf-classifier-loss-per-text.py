"""transformers 4.57.6, TF: the loss of a classifier has one element per text; documented shape: (1,)."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BartConfig, TFBartForSequenceClassification

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, num_labels=4, **sizes, **heads)
texts = tf.constant([[0, 7, 8, 2], [0, 9, 5, 2], [0, 4, 6, 2]])
loss = TFBartForSequenceClassification(config)(texts, labels=tf.constant([0, 1, 3])).loss
print(f"loss of three texts: shape {tuple(loss.shape)}; documented: (1,)")
sys.exit(tuple(loss.shape) != (1,))
