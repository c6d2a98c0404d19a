"""transformers 4.37.2 and 4.57.6, TensorFlow and Flax: epsilon_cutoff (and min_p, typical_p, eta_cutoff) has no effect.

Every step has the same logits, in which token 5 has the probability 0.58 and no other more than 0.06. With
epsilon_cutoff=0.5 it is the only one that can be drawn.
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
bias[0, 5] = 2.4
model.params["final_logits_bias"] = bias
settings = {"do_sample": True, "top_k": 0, "epsilon_cutoff": 0.5, "max_length": 12, "eos_token_id": None}
text = model.generate(np.array([[5, 6, 7, 2]]), prng_key=jax.random.PRNGKey(0), **settings).sequences[0].tolist()
print("drawn with epsilon_cutoff=0.5:", text[1:])
sys.exit(set(text[1:]) != {5})
