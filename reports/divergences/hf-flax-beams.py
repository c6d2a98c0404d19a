"""transformers 4.57.6, Flax: of two possible texts, beam search returns the far less likely one.

Every step has the same logits: word 5 is likely, EOS is not. With max_length 6 the likeliest text is 5 5 5 5 5, which
never ends, but a beam that ended immediately is returned. TensorFlow does the same (hf-tf-beams).
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
bias = np.full((1, 9), -9.0, np.float32)
bias[0, [5, config.eos_token_id]] = 4.0, -4.0
model.params["final_logits_bias"] = bias
text = model.generate(np.array([[5, 6, 7, 2]]), num_beams=2, max_length=6, early_stopping=False).sequences[0].tolist()
print(f"returned {text}; [2, 5, 5, 5, 5, 5] is e**8 times as likely as a text that ends")
sys.exit(text != [2, 5, 5, 5, 5, 5])
