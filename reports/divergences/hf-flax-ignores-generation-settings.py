"""transformers 4.37.2 and 4.57.6, Flax: bad_words_ids has no effect.

Every step has the same logits, and word 5 is the likeliest: with bad_words_ids=[[5]] it must not occur.
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
bias[0, 5] = 4.0
model.params["final_logits_bias"] = bias
text = model.generate(np.array([[5, 6, 7, 2]]), num_beams=1, max_length=6, bad_words_ids=[[5]]).sequences[0].tolist()
print("generated with bad_words_ids=[[5]]:", text)
sys.exit(5 in text)
