"""transformers 4.37.2 and 4.57.6, Flax: a layer that encoder_layerdrop skips returns None, and the call raises.

With a probability of 1 every layer is skipped, and the encoder's last state would be its embeddings.
"""

import sys

import jax
import numpy as np
from transformers import BartConfig, FlaxBartModel

sizes = {"d_model": 12, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3}
config = BartConfig(vocab_size=40, max_position_embeddings=20, encoder_layerdrop=1.0, **sizes, **heads)
model = FlaxBartModel(config, seed=0)
tokens = np.array([[5, 6, 7, 8, 9, 2]])
try:
    model(tokens, decoder_input_ids=tokens, train=True, dropout_rng=jax.random.PRNGKey(0))
except Exception as error:
    print(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    sys.exit(1)
