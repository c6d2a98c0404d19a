"""transformers 4.57.6, TF: BART's loss ignores labels that are the padding token; only -100 is documented."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=50, max_position_embeddings=40, init_std=0.5, **sizes, **heads)
texts, labels = tf.constant([[0, 7, 8, 2]]), tf.constant([[5, 6, 9, config.pad_token_id]])
found = TFBartForConditionalGeneration(config)(texts, labels=labels)
each = tf.keras.losses.sparse_categorical_crossentropy(labels, found.logits, from_logits=True)[0]
loss, all_of_them, without = float(found.loss[0]), float(tf.reduce_mean(each)), float(tf.reduce_mean(each[:-1]))
print(f"loss: {loss:.4f}; mean over all four labels: {all_of_them:.4f}, without padding: {without:.4f}")
sys.exit(abs(loss - all_of_them) > 1e-3)
