"""transformers 4.37.2 and 4.57.6, TensorFlow and Flax: min_new_tokens has no effect.

Every step has the same logits, and the end (2) is the likeliest: with min_new_tokens=4 it must not be generated before.
"""

import sys

import jax
import numpy as np
from transformers import BartConfig, FlaxBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=9, max_position_embeddings=20, forced_eos_token_id=None, **sizes, **heads)
model = FlaxBartForConditionalGeneration(config, seed=0)
model.params = jax.tree_util.tree_map(lambda array: array * 0, model.params)
bias = np.zeros((1, 9), np.float32)
bias[0, 2] = 4.0
model.params["final_logits_bias"] = bias
settings = {"num_beams": 1, "max_new_tokens": 8, "min_new_tokens": 4}
text = model.generate(np.array([[5, 6, 7, 2]]), **settings).sequences[0].tolist()
print("generated with min_new_tokens=4:", text)
sys.exit(text[1] == 2)
