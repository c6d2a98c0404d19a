"""transformers 4.57.6, TF: the decoder of a composition attends to padding that replaces an ignored label."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
from transformers import BertConfig, EncoderDecoderConfig, TFEncoderDecoderModel

half = BertConfig(
    vocab_size=50,
    hidden_size=12,
    num_hidden_layers=1,
    num_attention_heads=3,
    intermediate_size=8,
    initializer_range=0.5,
)
config = EncoderDecoderConfig.from_encoder_decoder_configs(half, half, decoder_start_token_id=2, pad_token_id=0)
model, texts = TFEncoderDecoderModel(config=config), tf.constant([[3, 7, 8, 4]])
found = model(texts, labels=tf.constant([[5, -100, 9, 6]])).logits
fed = tf.constant([[2, 5, 0, 9]])  # the labels shifted right, -100 replaced by padding
hidden = model(texts, decoder_input_ids=fed, decoder_attention_mask=tf.constant([[1, 1, 0, 1]])).logits
apart = float(tf.reduce_max(tf.abs(found - hidden)[0, 3]))
print(f"masking the padding changes the last token's logits by {apart:.2g}")
sys.exit(apart > 1e-3)
