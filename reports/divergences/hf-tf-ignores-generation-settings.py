"""transformers 4.37.2 and 4.57.6, TensorFlow: sequence_bias has no effect.

Every step has the same logits, and word 5 is the likeliest: a bias of -9 makes it the least likely.
"""

import sys

import tensorflow as tf
from transformers import BartConfig, TFBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, forced_eos_token_id=None, **sizes, **heads)
model = TFBartForConditionalGeneration(config)
source = tf.constant([[5, 6, 7, 2]])
model(source)
for weight in model.trainable_weights:
    weight.assign(tf.zeros_like(weight))
model.bias_layer.bias.assign(tf.one_hot([5], 9, 4.0, 0.0))
text = model.generate(source, num_beams=1, max_length=6, sequence_bias={(5,): -9.0})[0].numpy().tolist()
print("generated with sequence_bias={(5,): -9.0}:", text)
sys.exit(5 in text)
