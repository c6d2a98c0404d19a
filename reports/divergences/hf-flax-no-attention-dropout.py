"""transformers 4.37.2 and 4.57.6, Flax: attention_dropout has no effect in training mode.

With attention_dropout=0.9 and no other dropout, the hidden states in training are those of evaluation.
"""

import sys

import jax
import numpy as np
from transformers import BartConfig, FlaxBartForConditionalGeneration

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=40, max_position_embeddings=20, dropout=0.0, attention_dropout=0.9, **sizes, **heads)
model = FlaxBartForConditionalGeneration(config, seed=0)
tokens = np.array([[5, 6, 7, 8, 9, 2]])
calm = model(tokens, decoder_input_ids=tokens).logits
trained = model(tokens, decoder_input_ids=tokens, train=True, dropout_rng=jax.random.PRNGKey(0)).logits
difference = float(np.abs(np.array(trained) - np.array(calm)).max())
print(f"training and evaluation differ by {difference:.2g}")
sys.exit(difference < 1e-6)
