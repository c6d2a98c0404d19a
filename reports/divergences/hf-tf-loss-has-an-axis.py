"""transformers 4.57.6, TensorFlow: the loss is documented as a vector over the labels, but has shape (1,)."""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
model = TFBartForConditionalGeneration(
    BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=9, decoder_ffn_dim=9, **sizes)
)
ids = tf.constant([[0, 5, 6, 2]])
loss = model(input_ids=ids, labels=ids).loss
print("loss of four labels, none of them ignored: shape", tuple(loss.shape))
sys.exit(tuple(loss.shape) != (4,))
